"""Names and scales of the chip's biases. Numbers: rockpool's look-up module, which credits the vendor's documentation.

The last letter of a name is its type. A scale of None: none is known (or the type is neither N nor P, for which alone
there are tables), so that it can be set as (coarse, fine), but not as a current.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CORE_PARAMETERS: Final[Mapping[str, float | None]] = {
    # soma: leak, gain, refractory period, direct current, threshold, coupling
    **dict.fromkeys(("SOIF_GAIN_N", "SOIF_REFR_N"), 1.05),
    **dict.fromkeys(("SOIF_DC_P", "SOIF_SPKTHR_P"), 0.38),
    "SOIF_LEAK_N": 0.61,
    "SOIF_CC_N": 0.66,
    # adaptation and calcium
    **dict.fromkeys(("SOAD_PWTAU_N", "SOAD_W_N", "SOCA_W_N"), 0.92),
    **dict.fromkeys(("SOAD_GAIN_P", "SOCA_GAIN_P"), 0.68),
    **dict.fromkeys(("SOAD_TAU_P", "SOCA_TAU_P"), 0.2),
    "SOAD_CASC_P": 0.385,
    # homeostasis
    **dict.fromkeys(("SOHO_VB_P", "SOHO_VH_P", "SOHO_VREF_L_P", "SOHO_VREF_H_P", "SOHO_VREF_M_P"), 1.47),
    "SOHO_VREF_P": 0.68,
    # dendrites: AMPA and NMDA with their inhibitory sides, GABA, shunt
    **dict.fromkeys(("DEAM_ETAU_P", "DEAM_ITAU_P", "DENM_ETAU_P", "DENM_ITAU_P", "DEGA_ITAU_P", "DESC_ITAU_P"), 0.2),
    **dict.fromkeys(("DEAM_EGAIN_P", "DEAM_IGAIN_P", "DENM_EGAIN_P", "DENM_IGAIN_P"), 0.68),
    **dict.fromkeys(("DEGA_IGAIN_P", "DESC_IGAIN_P"), 0.68),
    **dict.fromkeys(("DEAM_VRES_P", "DEAM_HRES_P", "DEAM_NRES_P"), 0.385),
    "DENM_NMREV_N": 1.05,
    # synapses: weights, pulse, short-term depression, sensing, delays
    **dict.fromkeys(("SYAM_W0_P", "SYAM_W1_P", "SYAM_W2_P", "SYAM_W3_P"), 0.22),
    **dict.fromkeys(("SYSA_VRES_N", "SYSA_VB_P"), 1.9),
    "SYPD_EXT_N": 0.92,
    "SYAM_STDW_N": 0.67,
    "SYAW_STDSTR_N": 0.2,
    # rockpool lists the delays, but under names that are not the chip's (DYL)
    **dict.fromkeys(("SYPD_DLY0_P", "SYPD_DLY1_P", "SYPD_DLY2_P")),
}
"""Name -> scale, of what each core has of its own."""

SHARED_PARAMETERS: Final[Mapping[str, float | None]] = {
    "LBWR_VB_P": 0.57,
    **dict.fromkeys(("PG_BUF_N", "NCCF_CAL_OFFBIAS_P", "NCCF_CAL_REFBIAS_V")),
}
"""Once for cores 0 and 1, once for cores 2 and 3."""

CONVERTER_PARAMETERS: Final[Mapping[str, float | None]] = {
    "NCCF_PWLK_P": 0.89,
    **dict.fromkeys(("NCCF_HYS_P", "NCCF_BIAS_P"), 1.47),
    **dict.fromkeys(("NCCF_REF_L_V", "NCCF_REF_H_V")),
}
"""Once for each group of converters."""

GLOBAL_PARAMETERS: Final[Mapping[str, float | None]] = dict.fromkeys(("R2R_BUFFER_AMPB", "R2R_BUFFER_CCB"))
"""Once per chip."""

PARAMETERS: Final[Mapping[str, float | None]] = {
    **CORE_PARAMETERS,
    **SHARED_PARAMETERS,
    **CONVERTER_PARAMETERS,
    **GLOBAL_PARAMETERS,
}
"""All of them."""

SIMULATOR_NAMES: Final[Mapping[str, str]] = {
    "Itau_mem": "SOIF_LEAK_N",
    "Igain_mem": "SOIF_GAIN_N",
    "Iref": "SOIF_REFR_N",
    "Ispkthr": "SOIF_SPKTHR_P",
    "Idc": "SOIF_DC_P",
    "Ipulse": "SYPD_EXT_N",
    "If_nmda": "DENM_NMREV_N",
    "Itau_ahp": "SOAD_TAU_P",
    "Igain_ahp": "SOAD_GAIN_P",
    "Iw_ahp": "SOAD_W_N",
    "Ipulse_ahp": "SOAD_PWTAU_N",
    "Itau_ampa": "DEAM_ETAU_P",
    "Itau_gaba": "DEGA_ITAU_P",
    "Itau_nmda": "DENM_ETAU_P",
    "Itau_shunt": "DESC_ITAU_P",
    "Igain_ampa": "DEAM_EGAIN_P",
    "Igain_gaba": "DEGA_IGAIN_P",
    "Igain_nmda": "DENM_EGAIN_P",
    "Igain_shunt": "DESC_IGAIN_P",
    "Iw_0": "SYAM_W0_P",
    "Iw_1": "SYAM_W1_P",
    "Iw_2": "SYAM_W2_P",
    "Iw_3": "SYAM_W3_P",
}
"""The 23 currents of the vendor's simulator -> parameter of the chip (rockpool 3.1.0)."""

WEIGHT_PARAMETERS: Final = ("SYAM_W0_P", "SYAM_W1_P", "SYAM_W2_P", "SYAM_W3_P")
"""The four base currents; bit k of a weight's mask selects the k-th."""
