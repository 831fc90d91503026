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
