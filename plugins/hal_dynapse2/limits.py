"""What there is of everything on DYNAP-SE2, and the codes of its fields. Imports nothing.

Source of all numbers: the look-up tables and classes of rockpool 3.1.0 (`rockpool.devices.dynapse`), which describe the
vendor's own.
"""

from __future__ import annotations

from typing import Final

CORES: Final = 4
NEURONS: Final = 256
"""Per core."""
CAM_ENTRIES: Final = 64
"""Synapses of a neuron: what it listens to."""
SRAM_ENTRIES: Final = 4
"""Destinations of a neuron, that of its monitor among them."""
TAGS: Final = 2048
MAX_HOP: Final = 7
PARAMETER_SETS: Final = 4
"""Of a chip: parameters are per core."""
MAX_GRID: Final = 7
"""Chips side by side: an event that goes 7 west from there has left the grid, towards the host."""

DENDRITES: Final = {"none": 0, "shunt": 128, "nmda": 256, "gaba": 512, "ampa": 1024}
"""Codes of a CAM entry's dendrite. An entry of dendrite none never reacts, tag 0 or not."""
EMULATED: Final = ("ampa", "gaba", "nmda", "shunt")
"""Dendrites in the emulators' order."""

CONTROL_TAG: Final = 2047
"""Off the grid: sent back by the FPGA to tell that a run is over; no neuron's."""
MONITOR_HOP: Final = -7
"""x_hop (and y_hop, of chips outside the first row) of an event that leaves the grid for the host."""

LATCHES: Final = (
    "so_dc",
    "so_adaptation",
    "soif_kill",
    "soif_type",
    "coho_ca_mem",
    "ho_enable",
    "ho_so_de",
    "ho_active",
    "deam_ampa",
    "denm_nmda",
    "de_conductance",
    "deam_alpha",
    "denm_alpha",
    "de_mux",
)
"""A neuron's switches; the vendor's names start with `latch_`."""

SCALED: Final = {
    "SOIF_DC_P": ("Idc", 0.38),
    "DENM_NMREV_N": ("If_nmda", 1.05),
    "SOAD_GAIN_P": ("Igain_ahp", 0.68),
    "DEAM_EGAIN_P": ("Igain_ampa", 0.68),
    "DEGA_IGAIN_P": ("Igain_gaba", 0.68),
    "DENM_EGAIN_P": ("Igain_nmda", 0.68),
    "DESC_IGAIN_P": ("Igain_shunt", 0.68),
    "SOIF_GAIN_N": ("Igain_mem", 1.05),
    "SOAD_PWTAU_N": ("Ipulse_ahp", 0.92),
    "SYPD_EXT_N": ("Ipulse", 0.92),
    "SOIF_REFR_N": ("Iref", 1.05),
    "SOIF_SPKTHR_P": ("Ispkthr", 0.38),
    "SOAD_TAU_P": ("Itau_ahp", 0.2),
    "DEAM_ETAU_P": ("Itau_ampa", 0.2),
    "DEGA_ITAU_P": ("Itau_gaba", 0.2),
    "DENM_ETAU_P": ("Itau_nmda", 0.2),
    "DESC_ITAU_P": ("Itau_shunt", 0.2),
    "SOIF_LEAK_N": ("Itau_mem", 0.61),
    "SYAM_W0_P": ("Iw_0", 0.22),
    "SYAM_W1_P": ("Iw_1", 0.22),
    "SYAM_W2_P": ("Iw_2", 0.22),
    "SYAM_W3_P": ("Iw_3", 0.22),
    "SOAD_W_N": ("Iw_ahp", 0.92),
}
"""A core's parameter -> its name in the equations, and the factor on the bias generator's current."""
UNSCALED: Final = (
    "SYPD_DLY0_P",
    "SYPD_DLY1_P",
    "SYPD_DLY2_P",
    "SOAD_CASC_P",
    "SYAM_STDW_N",
    "SYAW_STDSTR_N",
    "SYSA_VRES_N",
    "SYSA_VB_P",
    "SOIF_CC_N",
)
"""Parameters of a core without a published factor: held as (coarse, fine), without a current. No emulator uses them."""
PARAMETERS: Final = (*SCALED, *UNSCALED)
"""In the order of the configuration's columns."""
