"""Every limit of a Loihi 1 chip, with its source; where sources differ, the stricter value.

Imports no numpy, so that listing devices stays light. Sources, by short name: "NL" is nengo-loihi 1.1.0, "B2" is
brian2-loihi 0.5.2, "LV" is lava-nc 0.10.0, "CAS22" is IEEE Circuits and Systems Magazine Q2 2022. Ranges are inclusive.
"""

from __future__ import annotations

from typing import Final, Self

import attrs

__all__ = [
    "ATOM_BITS_MAX",
    "AXON_ID_BITS",
    "AXON_SLOTS",
    "BASE_MAX",
    "BIAS_EXP",
    "BIAS_MANT",
    "BIAS_MAX",
    "CHIPS",
    "COMPARTMENTS",
    "COMPARTMENT_PROFILES",
    "CORES_PER_CHIP",
    "DECAY",
    "DELAY",
    "DELAY_BITS",
    "HOST_SPIKES_PER_STEP",
    "INDEX_BITS",
    "IN_AXONS",
    "LIST_GROUP",
    "LIST_HEADER_BITS",
    "MEMORY_WORD_BITS",
    "OUT_AXONS",
    "POP16_ATOMS",
    "POP16_BASE_STEP",
    "POP16_IN_AXONS",
    "Q_BITS",
    "REFRACT_DELAY",
    "STATE_BITS",
    "STDP_PROFILES",
    "SYNAPSE_BITS",
    "SYNAPSE_FORMATS",
    "TAG_BITS",
    "THRESHOLD_PROFILES",
    "VMAX_EXP",
    "VMIN_EXP",
    "VTH_MANT",
    "VTH_MAX",
    "WEIGHT_BITS",
    "WEIGHT_EXP",
    "CoreLimits",
]

# --- resources of a core
COMPARTMENTS: Final = 1024  # NL
IN_AXONS: Final = 4096  # NL
OUT_AXONS: Final = 4096  # slots, see AXON_SLOTS; NL
SYNAPSE_BITS: Final = 16384 * 64  # 128 KiB; NL
CORES_PER_CHIP: Final = 128  # NL, CAS22
CHIPS: Final = 1024  # assumed, NL checks no limit; the largest board named is nahuku32 (NL issue 266)
COMPARTMENT_PROFILES: Final = 31  # (decay_u, decay_v, refract_delay, noise on); NL validates 32, its builder 31
THRESHOLD_PROFILES: Final = 7  # NL validates 16, its builder 7
SYNAPSE_FORMATS: Final = 7  # NL validates 16, declares 8; the one with index 0 stays unused
STDP_PROFILES: Final = 3  # pre-trace profiles; NL

# --- axons
AXON_SLOTS: Final = {0: 1, 16: 1, 32: 2}  # output slots of a discrete (0), pop16 and pop32 axon; NL
AXON_ID_BITS: Final = {0: 12, 16: 10, 32: 12}  # NL
BASE_MAX: Final = 255  # compartment base of an input axon, from 0; NL
POP16_BASE_STEP: Final = 4  # the base of a pop16 axon is a multiple of this; NL
POP16_ATOMS: Final = 32  # source channels of a pop16 axon on hardware; NL
POP16_IN_AXONS: Final = 1 << AXON_ID_BITS[16]  # what 10 bits can name
ATOM_BITS_MAX: Final = 9  # NL

# --- synapse memory
MEMORY_WORD_BITS: Final = 64  # NL
LIST_GROUP: Final = 64  # synapses that share a header; NL
LIST_HEADER_BITS: Final = 10  # 4 of the format and 6 of the count; NL
INDEX_BITS: Final = (0, 6, 7, 8, 9, 10, 11, 12)  # by code; NL
WEIGHT_BITS: Final = (0, 1, 2, 3, 4, 5, 6, 8)  # by code; NL accepts codes 1 to 7
DELAY_BITS: Final = (0, 7)  # NL
TAG_BITS: Final = (0, 3)  # NL

# --- registers
WEIGHT_EXP: Final = (-7, 7)  # NL; B2 from -8
DELAY: Final = (0, 62)  # steps; B2
REFRACT_DELAY: Final = (1, 63)  # steps; NL; B2 to 64
DECAY: Final = (0, 4095)  # decay_u and decay_v; NL, LV
BIAS_MANT: Final = (-4095, 4095)  # NL; LV from -4096
BIAS_EXP: Final = (0, 7)  # LV
BIAS_MAX: Final = 4095 << 7
VTH_MANT: Final = (1, 131071)  # times 64; NL; B2 from 0
VTH_MAX: Final = 131071 << 6
VMIN_EXP: Final = (0, 23)  # vmin = -2**e + 1; more than 23 bits of voltage do not exist (NL takes up to 31)
VMAX_EXP: Final = (0, 7)  # vmax = 2**(9 + 2 e) - 1; NL
STATE_BITS: Final = 23  # of current and voltage, without sign; NL, LV
Q_BITS: Final = 21  # of the synaptic accumulator, without sign; NL
HOST_SPIKES_PER_STEP: Final = 50  # through snips, more are dropped; NL, default of its hardware run


@attrs.frozen(kw_only=True)
class CoreLimits:
    """What a core may hold, by the names that usage tables use."""

    compartments: int = COMPARTMENTS
    in_axons: int = IN_AXONS
    out_axons: int = OUT_AXONS
    synapse_bits: int = SYNAPSE_BITS
    compartment_profiles: int = COMPARTMENT_PROFILES
    threshold_profiles: int = THRESHOLD_PROFILES
    synapse_formats: int = SYNAPSE_FORMATS
    pop16_in_axons: int = POP16_IN_AXONS
    pop16_atoms: int = POP16_ATOMS
    pop16_unaligned: int = 0
    """Input axons of type pop16 whose base is no multiple of 4."""

    def with_margin(self, fraction: float) -> Self:
        """Axons and synapse memory reduced by `fraction` (0 to below 1) of themselves.

        A network that passes these counts may still need more axon registers on silicon (NL issue 326).
        """
        if not 0 <= fraction < 1:
            raise ValueError(f"margin {fraction}: give a fraction from 0 to below 1")
        kept = {name: int(getattr(self, name) * (1 - fraction)) for name in ("in_axons", "out_axons", "synapse_bits")}
        return attrs.evolve(self, **kept)
