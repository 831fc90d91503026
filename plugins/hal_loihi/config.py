"""The registers of Loihi 1: per compartment, core, synapse group and synapse, in arrays.

Ranges: nengo-loihi 1.1.0 (N), brian2-loihi 0.5.2 (B) and lava-nc 0.10.0 (L); where they differ the stricter holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.config import array, setting
from hal.errors import Problem
from hal_loihi.limits import CHIPS, CORES_PER_CHIP
from hal_loihi.weights import SignMode, effective

I32 = NDArray[np.int32]

MIXED, EXCITATORY, INHIBITORY = 0, 1, 2
SIGN_MODES = (SignMode.MIXED, SignMode.EXCITATORY, SignMode.INHIBITORY)
MANTISSAS = {MIXED: (-256, 254), EXCITATORY: (0, 255), INHIBITORY: (-256, 0)}
"""Stored weight by sign mode (B)."""


def _none(dtype: str) -> Any:
    return lambda: np.zeros(0, dtype)


@attrs.frozen(kw_only=True)
class InputConfig:
    """Where the host's spikes come from."""

    name: str = setting(doc="the model's name of the input")
    shape: tuple[int, ...] = setting(doc="shape of one step", minimum=1)


@attrs.frozen(kw_only=True)
class PopulationConfig:
    """A run of compartments under one name."""

    name: str = setting(doc="the model's name of the population")
    first: int = setting(0, doc="its first compartment", minimum=0)
    shape: tuple[int, ...] = setting(doc="shape; compartments follow in C order", minimum=1)


@attrs.frozen(kw_only=True)
class CompartmentsConfig:
    """Compartments, (n,) each; `core` is a row of `LoihiConfig.cores`."""

    core: I32 = array("int32", (None,), doc="row of the core table", minimum=0, factory=_none("int32"))
    decay_u: I32 = array(
        "int32",
        (None,),
        doc="current: times (4095 - decay_u) / 4096",
        minimum=0,
        maximum=4095,
        source="N",
        factory=_none("int32"),
    )
    decay_v: I32 = array(
        "int32",
        (None,),
        doc="voltage: times (4096 - decay_v) / 4096",
        minimum=0,
        maximum=4095,
        source="N",
        factory=_none("int32"),
    )
    vth_mant: I32 = array(
        "int32", (None,), doc="threshold, times 64", minimum=1, maximum=131071, source="N", factory=_none("int32")
    )
    bias_mant: I32 = array(
        "int32", (None,), doc="bias, times 2^bias_exp", minimum=-4096, maximum=4095, source="L", factory=_none("int32")
    )
    bias_exp: I32 = array(
        "int32", (None,), doc="exponent of the bias", minimum=0, maximum=7, source="N", factory=_none("int32")
    )
    refract_delay: I32 = array(
        "int32", (None,), doc="1: no dead time; k holds v at 0 for k - 1 steps", unit="steps", minimum=1, maximum=63,
        source="N", factory=_none("int32"),
    )  # fmt: skip

    @property
    def vth(self) -> I32:
        """Threshold as compared."""
        return self.vth_mant * 64

    @property
    def bias(self) -> I32:
        """Bias as added."""
        return (self.bias_mant << self.bias_exp).astype(np.int32)

    def rules(self) -> Iterator[Problem]:
        """One value each."""
        yield from _equal_lengths(self, "core")


@attrs.frozen(kw_only=True)
class CoresConfig:
    """Cores in use, (c,) each. Limits of v: vmin = 1 - 2^vmin_exp, vmax = 2^(9 + 2 vmax_exp) - 1."""

    chip: I32 = array("int32", (None,), doc="chip", minimum=0, maximum=CHIPS - 1, factory=_none("int32"))
    core: I32 = array("int32", (None,), doc="core on that chip", minimum=0, maximum=127, factory=_none("int32"))
    vmin_exp: I32 = array(
        "int32", (None,), doc="lower limit of v", minimum=0, maximum=23, source="N", factory=_none("int32")
    )
    vmax_exp: I32 = array(
        "int32", (None,), doc="upper limit of v", minimum=0, maximum=7, source="N", factory=_none("int32")
    )
    enable_noise: NDArray[np.bool_] = array("bool", (None,), doc="noise on", factory=_none("bool"))
    noise_exp: I32 = array(
        "int32", (None,), doc="size of the noise", minimum=1, maximum=23, source="N", factory=_none("int32")
    )
    noise_offset: I32 = array(
        "int32", (None,), doc="mean, in units of 64", minimum=-64, maximum=64, factory=_none("int32")
    )
    noise_at_membrane: NDArray[np.bool_] = array(
        "bool", (None,), doc="on v, else on the current", factory=_none("bool")
    )

    @property
    def vmin(self) -> I32:
        """Lower limits."""
        return (1 - (1 << self.vmin_exp)).astype(np.int32)

    @property
    def vmax(self) -> I32:
        """Upper limits."""
        return ((1 << (9 + 2 * self.vmax_exp)) - 1).astype(np.int32)

    def rules(self) -> Iterator[Problem]:
        """One value each, and no core twice."""
        yield from _equal_lengths(self, "chip")
        places = list(zip(self.chip.tolist(), self.core.tolist(), strict=False))
        if len(set(places)) != len(places):
            yield Problem("one row per core", "core", value=len(places), limit=len(set(places)))


@attrs.frozen(kw_only=True)
class GroupsConfig:
    """Synapse groups, (g,) each: the weights of one connection into one population share a format."""

    weight_exp: I32 = array(
        "int32",
        (None,),
        doc="weights are times 2^(6 + weight_exp)",
        minimum=-7,
        maximum=7,
        source="N",
        factory=_none("int32"),
    )
    num_weight_bits: I32 = array(
        "int32", (None,), doc="bits of a stored weight", minimum=1, maximum=8, factory=_none("int32")
    )
    sign_mode: I32 = array(
        "int32", (None,), doc="0 mixed, 1 excitatory, 2 inhibitory", minimum=0, maximum=2, factory=_none("int32")
    )

    def rules(self) -> Iterator[Problem]:
        """One value each; seven bits do not exist."""
        yield from _equal_lengths(self, "weight_exp")
        if (self.num_weight_bits == 7).any():
            yield Problem("no such number of weight bits", "num_weight_bits", value=7, limit="1..6, 8")


@attrs.frozen(kw_only=True)
class SynapsesConfig:
    """Synapses by source: inputs first, channel by channel, then compartments. (m,) each but indptr."""

    indptr: NDArray[np.int64] = array(
        "int64", (None,), doc="where each source's synapses begin; sources + 1", minimum=0, factory=_none("int64")
    )
    target: I32 = array("int32", (None,), doc="compartment", minimum=0, factory=_none("int32"))
    mantissa: NDArray[np.int16] = array(
        "int16", (None,), doc="stored weight", minimum=-256, maximum=255, factory=_none("int16")
    )
    group: NDArray[np.uint16] = array("uint16", (None,), doc="row of the group table", factory=_none("uint16"))
    delay: NDArray[np.uint8] = array(
        "uint8",
        (None,),
        doc="steps besides the one that every spike takes",
        unit="steps",
        maximum=62,
        source="B",
        factory=_none("uint8"),
    )

    def rules(self) -> Iterator[Problem]:
        """One value each, and pointers that ascend."""
        yield from _equal_lengths(self, "target", skip="indptr")
        if self.indptr.size < 1 or self.indptr[0] != 0 or self.indptr[-1] != self.target.size:
            yield Problem("must run from 0 to the number of synapses", "indptr", limit=f"0..{self.target.size}")
        elif (np.diff(self.indptr) < 0).any():
            yield Problem("must not decrease", "indptr")


@attrs.frozen(kw_only=True)
class LoihiConfig:
    """A whole network on its cores."""

    step_ns: int = setting(1_000_000, doc="what a step stands for", unit="ns", minimum=1)
    inputs: tuple[InputConfig, ...] = setting((), doc="host inputs, in the order of sources")
    populations: tuple[PopulationConfig, ...] = setting((), doc="runs of compartments")
    compartments: CompartmentsConfig = setting(doc="neurons", factory=CompartmentsConfig)
    cores: CoresConfig = setting(doc="cores in use", factory=CoresConfig)
    groups: GroupsConfig = setting(doc="formats of weights", factory=GroupsConfig)
    synapses: SynapsesConfig = setting(doc="connections", factory=lambda: SynapsesConfig(indptr=np.zeros(1, np.int64)))

    @property
    def n_inputs(self) -> int:
        """Channels of all inputs."""
        return sum(math.prod(port.shape) for port in self.inputs)

    @property
    def places(self) -> NDArray[np.int64]:
        """Core numbers over all chips, by row of the core table."""
        return self.cores.chip.astype(np.int64) * CORES_PER_CHIP + self.cores.core

    def weights(self) -> I32:
        """What each synapse adds to the accumulator."""
        s, g = self.synapses, self.groups
        out = np.zeros(s.mantissa.size, np.int32)
        for row, (exponent, bits, mode) in enumerate(zip(g.weight_exp, g.num_weight_bits, g.sign_mode, strict=True)):
            mine = s.group == row
            out[mine] = effective(s.mantissa[mine], int(exponent), int(bits), SIGN_MODES[int(mode)])
        return out

    def rules(self) -> Iterator[Problem]:
        """Rows that exist, runs that cover all compartments, weights their sign mode can hold."""
        n = self.compartments.core.size
        n_inputs = self.n_inputs
        s, g = self.synapses, self.groups
        if not n:
            yield Problem("a network has compartments", "compartments", value=0, limit="1 or more")
        names = [port.name for port in self.inputs] + [run.name for run in self.populations]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem("a name is used once, among inputs and populations", "populations", value=name)
        checks = (
            ("compartments.core", self.compartments.core, self.cores.chip.size),
            ("synapses.target", s.target, n),
            ("synapses.group", s.group, g.weight_exp.size),
        )
        for where, rows, count in checks:
            if rows.size and int(rows.max()) >= count:
                yield Problem("no such row", where, value=int(rows.max()), limit=f"0..{count - 1}")
                return
        if s.indptr.size != n_inputs + n + 1:
            yield Problem(
                "one entry per source and one", "synapses.indptr", value=s.indptr.size, limit=n_inputs + n + 1
            )
        ends = 0
        for population in self.populations:
            if population.first != ends:
                yield Problem(
                    "must follow the one before", f"populations {population.name!r}", value=population.first, limit=ends
                )
            ends = population.first + int(np.prod(population.shape))
        if ends != n:
            yield Problem("must cover all compartments", "populations", value=ends, limit=n)
        for mode, (low, high) in MANTISSAS.items():
            mine = s.mantissa[g.sign_mode[s.group] == mode] if s.group.size else s.mantissa
            if mine.size and (mine.min() < low or mine.max() > high or (mode == MIXED and (mine & 1).any())):
                limit = f"{low}..{high}" + (", even" if mode == MIXED else "")
                yield Problem(
                    f"not stored in sign mode {mode}",
                    "synapses.mantissa",
                    value=(int(mine.min()), int(mine.max())),
                    limit=limit,
                )


def _equal_lengths(config: Any, first: str, skip: str = "") -> Iterator[Problem]:
    size = getattr(config, first).size
    for field in attrs.fields(type(config)):
        if field.name != skip and getattr(config, field.name).size != size:
            yield Problem("one value each", field.name, value=getattr(config, field.name).size, limit=size)
