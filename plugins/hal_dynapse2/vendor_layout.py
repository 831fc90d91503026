"""Names, order and defaults of the vendor's JSON: what its configuration object writes and reads.

Source: the classes of rockpool 3.1.0 that copy those of samna, and samples they wrote. Not verified by samna. Arrays of
fixed length are objects {"value0": ..., "value1": ...}, maps of parameters are lists of {"key", "value"}, the chips are
a list. Values of fields that no mapping sets are not published: switches are off, numbers 0, maps of parameters empty.
"""

from __future__ import annotations

import json
from typing import Any, Final

from hal_dynapse2.limits import CAM_ENTRIES, CORES, LATCHES, SRAM_ENTRIES

SYNAPSE: Final = ("dendrite", "stp", "weight", "preciseDelay", "mismatchedDelay", "tag")
DESTINATION: Final = ("core", "xHop", "yHop", "tag")
PARAMETER: Final = ("type", "coarseValue", "fineValue", "_address", "_cookie", "_initialType", "_switchableType")
INITIAL_TYPE: Final = {"P": 0, "N": 1}
"""A parameter's type once more, as the vendor's enumeration; `type` has the letter's character code."""
WEIGHTS: Final = 4
"""Bits of a synapse's weight."""

_LATCH_ORDER: Final = (
    "so_dc", "so_adaptation", "soif_kill", "coho_ca_mem", "ho_enable", "ho_so_de", "deam_ampa", "denm_nmda",
    "de_conductance", "deam_alpha", "denm_alpha", "de_mux", "soif_type", "ho_active",
)  # fmt: skip


def camel(name: str) -> str:
    """soif_kill -> SoifKill."""
    return "".join(word.title() for word in name.split("_"))


LATCH_KEYS: Final = tuple((f"latch{camel(name)}", LATCHES.index(name)) for name in _LATCH_ORDER)
"""A neuron's switches in the file's order, and their columns in the configuration."""

_CORE_ADC: Final = (
    "soif_mem", "soif_refectory", "soad_dpi", "soca_dpi", "deam_edpi", "deam_idpi", "denm_edpi", "denm_idpi",
    "dega_idpi", "desc_idpi", "sy_w42", "sy_w21", "soho_sogain", "soho_degain",
)  # fmt: skip
_CHIP_ADC: Final = tuple(
    f"nccf_{name}_pg{generator}"
    for generator in (1, 0)
    for name in ("extin_vi_group0", "cal_refbias_v_group1", "cal_refbias_v_group2", "extin_vi_group2")
)
_POINT: Final = {"x": 0, "y": 0}


def numbered(values: Any) -> dict[str, Any]:
    """An array of fixed length."""
    return {f"value{k}": value for k, value in enumerate(values)}


def compact(tree: Any) -> str:
    """JSON without blanks."""
    return json.dumps(tree, separators=(",", ":"), allow_nan=False)


UNUSED_SYNAPSE: Final = dict(
    zip(SYNAPSE, (0, False, numbered([False] * WEIGHTS), False, False, 0), strict=True)
)  # fmt: skip
UNUSED_DESTINATION: Final = dict(zip(DESTINATION, (numbered([False] * CORES), 0, 0, 0), strict=True))
UNUSED_NEURON: Final = {
    "synapses": numbered([UNUSED_SYNAPSE] * CAM_ENTRIES),
    "destinations": numbered([UNUSED_DESTINATION] * SRAM_ENTRIES),
    **{key: False for key, _ in LATCH_KEYS},
}
UNUSED_TEXT: Final = compact(UNUSED_NEURON)
UNUSED_WORD: Final = "an unused neuron"
"""What its text is read as."""
CORE_END: Final = {
    "sadcEnables": {camel(name): False for name in _CORE_ADC},
    "enableSyawStdbufAn": False,
    "enablePulseExtenderMonitor1": False,
    "enablePulseExtenderMonitor2": False,
    "_id": 0,
    "_cookie": 0,
}
"""A core after its neurons, monitor and parameters."""
CHIP_END: Final = {
    "globalParameters": [],
    "sharedParameters01": [],
    "sharedParameters23": [],
    "sadcGroupParameters01": numbered([[]] * 3),
    "sadcGroupParameters23": numbered([[]] * 3),
    "sadcEnables": {camel(name): False for name in _CHIP_ADC},
    "dvsIf": {
        "dropEvents": False,
        "dvsMode": 0,
        "offEvents": False,
        "onEvents": False,
        "poolingShift": _POINT,
        "copyEvents": False,
        "copyHop": _POINT,
        "davisReqAckBugfixDelay_ns": 0,
        "origin": _POINT,
        "max": _POINT,
        "pixelDestinations": {},
        "filter": [],
    },
    "bioamps": {
        "commonParameters": [],
        "channelParameters": {},
        "paramGen2Powerdown": False,
        "gain": 0,
        "separateParameters": False,
        **{f"monitorChannel{name}": False for name in ("Thuc", "Thdc", "Qfruc", "Oruc", "Osuc", "Oauc")},
        "route": {},
    },
    "enablePg0ReferenceMonitor": False,
    "enablePg1ReferenceMonitor": False,
    "paramGen0Powerdown": False,
    "paramGen1Powerdown": False,
}
"""A chip after its cores."""
