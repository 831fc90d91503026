"""Chips of the Speck / DynapCNN family: memories, features and limits.

Imports no numpy, so that listing devices stays light. Sources, by short name: "datasheet" is the Speck Dev Kit
Datasheet (SynSense, August 2023); "sinabs 3.1.3" and "sinabs 2.0.0" are the chip classes of that package's dynapcnn
backend; "samna reference" is the vendor's configuration reference for speck2b/2e/2f; "flash layout" is the register
layout decoded by speck-tools 0.1.3.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import attrs

__all__ = [
    "ALIASES",
    "CHIPS",
    "CORE_DESTINATIONS",
    "DVS_DESTINATIONS",
    "DVS_EVENTS_LAYER",
    "DVS_SHAPE",
    "FAST_CORES",
    "FEATURES_MAX",
    "INPUT_SIZE_MAX",
    "KERNEL_MAX",
    "OUTPUT_SIZE_MAX",
    "PADDING_MAX",
    "POOLINGS",
    "READOUT_CLASSES_MAX",
    "READOUT_LAYER",
    "STATE_MAX",
    "STATE_MIN",
    "STRIDES",
    "SYNOPS_PER_S",
    "THRESHOLD_LOW_FORBIDDEN",
    "WEIGHT_MAX",
    "WEIGHT_MIN",
    "ChipTable",
    "chip",
]

INPUT_SIZE_MAX: Final = 128  # rows or columns of a core's input map; datasheet 2.4
OUTPUT_SIZE_MAX: Final = 64  # rows or columns after stride, before pooling; datasheet 2.4
FEATURES_MAX: Final = 1024  # input or output features, at least 1; 10-bit "count - 1" fields in the flash layout
KERNEL_MAX: Final = 16  # square kernels, at least 1; 4-bit "size - 1" field in the flash layout
STRIDES: Final = (1, 2, 4, 8)  # x and y independent; datasheet 2.4
PADDING_MAX: Final = 7  # x and y independent, at least 0; datasheet 2.4
POOLINGS: Final = (1, 2, 4)  # square, kernel = stride, per destination; datasheet 2.4
FAST_CORES: Final = (0, 1)  # parallel computing and more throughput, meant for input layers; datasheet 2.4
CORE_DESTINATIONS: Final = 2  # per core; datasheet 2.4
DVS_DESTINATIONS: Final = 2  # of the DVS pre-processing block; datasheet 2.4
WEIGHT_MIN, WEIGHT_MAX = -128, 127  # int8; samna reference
SYNOPS_PER_S: Final = 1e8
"""Synaptic operations per second of one core. Assumption: the limit of the cores is not published.

An event takes 0.37 us per layer (3.36 us for nine layers, arXiv 2304.06793): the few tens of updates of a small kernel.
"""
STATE_MIN, STATE_MAX = -32768, 32767  # int16: state, thresholds, bias; datasheet table 3
THRESHOLD_LOW_FORBIDDEN: Final = 0  # known chip bug, use -1; datasheet 3.2.4.6.3
READOUT_CLASSES_MAX: Final = 15  # plus "none"; sinabs documentation, available network architecture
READOUT_LAYER: Final = 12  # the readout block as a destination; datasheet, sinabs documentation on the readout layer
DVS_EVENTS_LAYER: Final = 13  # layer number of monitored DVS pre-processing events; sinabs documentation
DVS_SHAPE: Final = (2, 128, 128)  # (polarity, y, x); datasheet

_KI = 1024


@attrs.frozen(kw_only=True)
class ChipTable:
    """Resources of one chip. Memories are words per core: kernel words of 8 bits, neuron and bias words of 16 bits."""

    name: str
    kernel_words: tuple[int, ...]
    neuron_words: tuple[int, ...]
    bias_words: tuple[int, ...]
    kill_bits: bool
    """Weights, biases and neurons can be disabled one by one."""
    readout: bool
    """Has the readout block (maximum of up to 15 classes on chip)."""
    readout_erratum: bool
    """Feature 4*i of the last core arrives at the readout block as class i + 1 (vendor's notebook on the readout)."""
    decimator: bool
    """Cores can pass one of every N output spikes."""
    congestion_balancer: bool
    """Cores can drop input events while busy, instead of stalling the sender."""

    @property
    def n_cores(self) -> int:
        """Number of convolution cores."""
        return len(self.kernel_words)

    def memory(self, core: int) -> tuple[int, int, int]:
        """(kernel, neuron, bias) words of one core; IndexError outside 0..n_cores - 1."""
        if not 0 <= core < self.n_cores:
            raise IndexError(f"{self.name} has cores 0..{self.n_cores - 1}, not {core}")
        return self.kernel_words[core], self.neuron_words[core], self.bias_words[core]


def _nine(name: str, *, kill_bits: bool, readout: bool, newer: bool) -> ChipTable:
    """Nine cores; words from datasheet table 1 and sinabs 3.1.3, equal for all chips with nine cores."""
    return ChipTable(
        name=name,
        kernel_words=tuple(n * _KI for n in (16, 16, 16, 32, 32, 64, 64, 16, 16)),
        neuron_words=tuple(n * _KI for n in (64, 64, 64, 32, 32, 16, 16, 16, 16)),
        bias_words=(_KI,) * 9,
        kill_bits=kill_bits,
        readout=readout,
        readout_erratum=newer,
        decimator=newer,
        congestion_balancer=newer,
    )


def _five(name: str) -> ChipTable:
    """Five cores; words from sinabs 2.0.0, whose 2d-mini shares the 2c-mini's table; cores 0..2 have no bias memory."""
    return ChipTable(
        name=name,
        kernel_words=tuple(n * _KI for n in (16, 32, 32, 64, 16)),
        neuron_words=tuple(n * _KI for n in (64, 32, 32, 16, 16)),
        bias_words=(0, 0, 0, _KI, _KI),
        kill_bits=False,
        readout=False,
        readout_erratum=False,
        decimator=False,
        congestion_balancer=False,
    )


_TABLES = (
    _nine("speck2e", kill_bits=False, readout=True, newer=True),
    _nine("speck2f", kill_bits=False, readout=True, newer=True),
    # The devkit's configuration has a readout; Speck2b's is documented as not available (datasheet; samna reference).
    _nine("dynapcnndevkit", kill_bits=True, readout=True, newer=False),
    _nine("speck2b", kill_bits=True, readout=False, newer=False),
    _five("speck2cmini"),
    _five("speck2dmini"),
)

CHIPS: Final = MappingProxyType({table.name: table for table in _TABLES})
"""Chip tables by name."""

ALIASES: Final = MappingProxyType(
    {
        "speck2edevkit": "speck2e",
        "speck2fmodule": "speck2f",
        "speck2fdevkit": "speck2f",
        "speck2btiny": "speck2b",
    }
)
"""Names of boards and modules, as sinabs 3.1.3 and 2.0.0 spell them, and the chip they carry."""


def chip(name: str) -> ChipTable:
    """Table of the chip called `name` or of the board with that alias; KeyError names what exists."""
    try:
        return CHIPS[ALIASES.get(name, name)]
    except KeyError:
        raise KeyError(f"no chip {name!r}; there are {', '.join((*CHIPS, *ALIASES))}") from None
