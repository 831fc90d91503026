"""Numbers of the circuits that no register holds: capacitances, constants of the process, and what the mapper aims at.

Source: the defaults of rockpool 3.1.0's `lookup` and of its `DynapSim` module. Measured chips differ from all of them
(`mismatch`); the open-neuromorphic page gives 7.7 pF where they have 3 pF.
"""

from __future__ import annotations

from typing import Final

C_MEM: Final = 3e-12
"""Membrane, F."""
C_SYN: Final = (24.5e-12, 25e-12, 25e-12, 24.5e-12)
"""Dendrites AMPA, GABA, NMDA, shunt, F."""
C_AHP: Final = 40e-12
C_PULSE: Final = 0.5e-12
C_PULSE_AHP: Final = 0.5e-12
C_REF: Final = 1.5e-12
IO: Final = 5e-13
"""Dark current, A."""
KAPPA_N, KAPPA_P = 0.75, 0.66
"""Subthreshold slopes."""
UT: Final = 25e-3
"""Thermal voltage, V."""
VTH: Final = 0.7
"""Threshold of the pulse extenders, V."""

GAIN_MEM: Final = 4.0
"""Igain_mem over Itau_mem."""
GAIN_SYN: Final = 100.0
"""Igain over Itau of a dendrite, where the bias generator reaches that far."""
T_PULSE: Final = 10e-6
"""Width of the pulse that an event becomes, s."""
T_PULSE_AHP: Final = 1e-6
T_REF: Final = 1e-6
"""Refractory period where nothing is known of the model's steps, s; the chip has no 0."""
SPKTHR: Final = 1e-7
"""Spiking threshold that is aimed at, A: far above the gain current, where the membrane is linear."""
LINEAR: Final = 100.0
"""Threshold over gain current from which on the mapper weakens strong weights rather than go lower."""
BASES: Final = (1e-9, 2e-9, 4e-9, 8e-9)
"""Base currents of cores without synapses, A."""
MARGIN: Final = 0.9
"""Of the largest current of a bias: so far the mapper goes by itself."""
