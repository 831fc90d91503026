"""What there is of everything on BrainScaleS-2 (HICANN-X v3), and where it is. Imports nothing.

Sources, named at each number: the vendor's halco, haldls, fisch, hxcomm and grenade (as read, not run), and the
tutorials of brainscales2-demos. Positions take and give plain integers or integer arrays alike.
"""

from __future__ import annotations

from typing import Any, Final

# --- neuron circuits ------------------------------------------------------------------------------------------------
COLUMNS: Final = 256
"""Circuits of a hemisphere (halco neuron.h)."""
HEMISPHERES: Final = 2
"""Circuit rows: 0 top, 1 bottom (halco neuron.h)."""
CIRCUITS: Final = 512
"""Enumerated row by row: all of row 0 first (halco neuron.h)."""
BLOCK_COLUMNS: Final = 128
"""Columns of a backend block, both rows; a logical neuron lies within one (halco, grenade greedy_placer)."""
BLOCKS: Final = 2
CIRCUITS_PER_NEURON: Final = 256
"""One backend block (halco CompartmentOnLogicalNeuron)."""
COMPARTMENTS: Final = 255
"""Of a logical neuron (halco CompartmentOnLogicalNeuron)."""

# --- synapses and drivers -------------------------------------------------------------------------------------------
ROWS: Final = 256
"""Synapse rows of a hemisphere (halco SynapseRowOnSynram)."""
MAX_WEIGHT: Final = 63
"""6 bit, unsigned: the sign is the row's (lola SynapseMatrix)."""
LABELS: Final = 64
"""Of synapses, 6 bit (halco SynapseLabel); hence sources of a group (grenade)."""
DRIVERS: Final = 128
"""Of a hemisphere, two rows each (halco synapse_driver.cpp)."""
ROWS_PER_DRIVER: Final = 2
BUSES: Final = 4
"""PADI buses of a hemisphere (halco)."""
DRIVERS_PER_BUS: Final = 32
"""halco synapse_driver.h."""
ROWS_PER_BUS: Final = 64
"""In-degree of a circuit from one bus (grenade routing_constraints)."""
ROW_SELECTS: Final = 32
"""5 bit: an event's row select, a driver's position and its compare mask (haldls synapse_driver.h)."""

# --- events ---------------------------------------------------------------------------------------------------------
EVENT_OUTPUTS: Final = 8
"""Of the neurons (halco routing_crossbar.h)."""
EVENT_OUTPUT_COLUMNS: Final = 32
"""Columns behind an event output, both rows: 64 circuits."""
ADDRESSES: Final = 256
"""Free bits 0..7 of a neuron's event; bits 8..10 are its event output (halco event.h)."""
LABEL_BITS: Final = 14
"""What the crossbar looks at: 0..5 synapse label, 6..10 row select (halco event.h, haldls routing_crossbar.h)."""
ROW_SELECT_SHIFT: Final = 6
OUTPUT_SHIFT: Final = 8
LINK_SHIFT: Final = 14
"""Bits 14 and 15 (SPL1): one of the external inputs or outputs (halco event.h)."""
EXTERNAL_INPUTS: Final = 4
"""halco routing_crossbar.h."""
BACKGROUND_SOURCES: Final = 8
"""Inputs 12..19: 0..3 top, 4..7 bottom (halco routing_crossbar.h)."""
CROSSBAR_INPUTS: Final = 20
"""8 of neurons, 4 external, 8 background (halco routing_crossbar.h)."""
CROSSBAR_OUTPUTS: Final = 12
"""8 PADI buses (hemisphere 0, then 1), 4 to the host (halco routing_crossbar.h)."""
CROSSBAR_DROPS: Final = 2**16 - 1
"""Counter of an input (haldls)."""
CROSSBAR_EVENTS: Final = 2**24 - 1
"""Counter of an output (haldls)."""
BACKGROUND_CLOCK_HZ: Final = 250e6
"""Twice the FPGA's clock (haldls, test of BackgroundSpikeSource)."""
BACKGROUND_PERIOD: Final = 2**16 - 1
"""Clock cycles (haldls background.h)."""
SHORTEST_BACKGROUND_PERIOD: Final = 2
"""Clock cycles: 125 million events a second of each source (tutorial fp_brainscales)."""
BACKGROUND_RATE: Final = 2**8 - 1
"""255ths of a chance per period (haldls background.h)."""
BACKGROUND_MASK: Final = 2**8 - 1
"""Of labels: their lower bits (haldls background.h)."""
BACKGROUND_SEED: Final = 2**32 - 1
"""haldls background.h."""
POISSON_POPULATIONS: Final = 4
"""grenade greedy_placer."""
POISSON_SOURCES: Final = 256
"""Of one Poisson population (grenade greedy_placer)."""

# --- neurons, read-out ----------------------------------------------------------------------------------------------
MAX_CAPMEM: Final = 1022
"""Codes of analog cells; 1023 switches the cell off (haldls capmem.h)."""
CAPMEM_VOLTAGES: Final = 8
"""Cells of a neuron (haldls capmem.h)."""
CAPMEM_CURRENTS: Final = 16
"""Cells of a neuron (haldls capmem.h)."""
MAX_CAPACITANCE: Final = 63
"""6 bit, about 2.2 pF to 2.3 pF (haldls neuron.h)."""
MAX_REFRACTORY_COUNTER: Final = 255
"""8 bit (haldls neuron.h)."""
MAX_HOLDOFF_CODE: Final = 15
"""4 bit (haldls neuron.h)."""
MAX_CLOCK_SCALE: Final = 15
"""Of the fast and of the slow refractory clock (haldls neuron.h)."""
SPIKE_COUNTER: Final = 2**8 - 1
"""Of a neuron, with a flag for its overflow (haldls neuron.h)."""
CADC_CHANNELS: Final = 1024
"""Two of a column (tutorial fp_brainscales)."""
CADC_MAX: Final = 255
"""8 bit (tutorial fp_brainscales)."""
CADC_RELIABLE: Final = (30, 210)
"""Where a calibrated CADC is linear (calix constants)."""
CADC_RATE_HZ: Final = 1.85e6
"""Of a channel, at most (tutorial fp_brainscales)."""
MADC_MAX: Final = 1023
"""10 bit (haldls madc.cpp)."""
MADC_SIGNALS: Final = 2
"""Of its one converter (haldls madc.cpp)."""
MADC_RATE_HZ: Final = 500e6 / (12 + 5)
"""By default (haldls madc.cpp, pll.h)."""
MADC_SAMPLES: Final = 2**16 - 1
"""Counted recordings (haldls madc.cpp)."""

# --- clocks and host ------------------------------------------------------------------------------------------------
REFRACTORY_CLOCK_HZ: Final = 250e6
"""Core clock 1 (haldls pll.h)."""
CYCLE_NS: Final = 8
"""Of the FPGA's clock: unit of time stamps (fisch chip_time.h)."""
TIME_BITS: Final = 43
"""Of system time (fisch chip_time.h)."""
EVENTS_PER_WORD: Final = 3
"""hxcomm event_constants."""
MAX_RUN_CYCLES: Final = 2**32 - 1
"""Timer of a playback program: 34.36 s (haldls timer.h)."""
PLAYBACK_INSTRUCTIONS: Final = 4194304
"""Of 8 bytes (fisch constants.h)."""
PPUS: Final = 2
"""halco ppu.h."""
PPU_WORDS: Final = 4096
"""16 KiB of memory of each (halco ppu.h)."""
PPU_LANES: Final = (128, 64)
"""Of a vector, in 8 and in 16 bit (halco ppu.h)."""


def circuit(column: Any, row: Any) -> Any:
    """Circuit 0..511 in a column 0..255 of a row 0..1."""
    return row * COLUMNS + column


def column_row(circuit: Any) -> tuple[Any, Any]:
    """Column 0..255 and row (which is the hemisphere) 0..1 of a circuit 0..511."""
    return circuit % COLUMNS, circuit // COLUMNS


def block(column: Any) -> Any:
    """Backend block 0..1 of a column."""
    return column // BLOCK_COLUMNS


def event_output(column: Any) -> Any:
    """Event output 0..7 of a column, the same of both rows; it is input 0..7 of the crossbar."""
    return column // EVENT_OUTPUT_COLUMNS


def event_bus(output: Any) -> Any:
    """PADI bus 0..3, of both hemispheres, that an event output reaches."""
    return output % BUSES


def driver_rows(driver: Any) -> tuple[Any, Any]:
    """The rows of a driver 0..127: 2 d + 1 and 2 d (halco synapse_driver.cpp)."""
    return 2 * driver + 1, 2 * driver


def row_driver(row: Any) -> Any:
    """Driver 0..127 of a synapse row 0..255."""
    return row // ROWS_PER_DRIVER


def driver_bus(driver: Any) -> Any:
    """PADI bus 0..3 of a driver."""
    return driver % BUSES


def driver_position(driver: Any) -> Any:
    """Position 0..31 of a driver on its bus: what row selects are compared with."""
    return driver // BUSES


def driver_at(bus: Any, position: Any) -> Any:
    """Driver 0..127 at a position of a bus."""
    return position * BUSES + bus


def external_input(link: Any) -> Any:
    """Input of the crossbar of an external input 0..3."""
    return EVENT_OUTPUTS + link


def background_input(source: Any) -> Any:
    """Input of the crossbar of a background source 0..7."""
    return EVENT_OUTPUTS + EXTERNAL_INPUTS + source


def bus_output(hemisphere: Any, bus: Any) -> Any:
    """Output of the crossbar to a PADI bus."""
    return hemisphere * BUSES + bus


def host_output(link: Any) -> Any:
    """Output of the crossbar to the host, link 0..3."""
    return HEMISPHERES * BUSES + link


def node_exists(source: int, output: int) -> bool:
    """Whether the crossbar has a node between an input 0..19 and an output 0..11 (halco routing_crossbar.h)."""
    to_host = output >= HEMISPHERES * BUSES
    if source >= EVENT_OUTPUTS + EXTERNAL_INPUTS:
        background = source - EVENT_OUTPUTS - EXTERNAL_INPUTS
        own = to_host or output // BUSES == background // BUSES
        return own and output % BUSES == background % BUSES
    if source >= EVENT_OUTPUTS:
        return not to_host or output % BUSES == source - EVENT_OUTPUTS
    return bool(output % BUSES == event_bus(source))
