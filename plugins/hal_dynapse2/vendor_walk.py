"""The tree of a vendor's file, walked with every value checked.

What is kept: registers of the neurons and cores that differ from unused ones, and all that is wrong.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.errors import Problem
from hal_dynapse2.config import PARAMETERS
from hal_dynapse2.limits import (
    CAM_ENTRIES,
    CORES,
    DENDRITES,
    LATCHES,
    MAX_HOP,
    NEURONS,
    SRAM_ENTRIES,
    TAGS,
)
from hal_dynapse2.parameters import SIMULATOR_NAMES
from hal_dynapse2.vendor_layout import (
    LATCH_KEYS,
    UNUSED_DESTINATION,
    UNUSED_NEURON,
    UNUSED_SYNAPSE,
    UNUSED_WORD,
    WEIGHTS,
)

Ints = NDArray[Any]

_CODES: Final = frozenset(DENDRITES.values())
_MISSING: Final = object()


@attrs.define
class Neuron:
    """Registers of one neuron, as the columns of the configuration."""

    latches: Ints = attrs.field(factory=lambda: np.zeros(len(LATCHES), bool))
    cam: dict[str, Ints] = attrs.field(
        factory=lambda: {
            name: np.zeros(CAM_ENTRIES, np.int64)
            for name in ("dendrite", "mask", "tag", "stp", "precise_delay", "mismatched_delay")
        }
    )
    sram: dict[str, Ints] = attrs.field(
        factory=lambda: {name: np.zeros(SRAM_ENTRIES, np.int64) for name in ("core_mask", "x_hop", "y_hop", "tag")}
    )

    @property
    def used(self) -> bool:
        """Whether it has any entry."""
        cam = self.cam
        return bool(cam["dendrite"].any() or cam["mask"].any() or cam["tag"].any() or self.sram["core_mask"].any())


@attrs.define
class Core:
    """Biases of one core, by name, and the neuron whose membrane can be seen."""

    biases: dict[str, tuple[int, int]] = attrs.field(factory=dict)
    monitored: int = -1


class Walk:
    """`neurons` and `cores` by their number over all chips; `problems`; names of biases that are not kept."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.neurons: dict[int, Neuron] = {}
        self.cores: dict[int, Core] = {}
        self.chips = 0
        self.ignored: set[str] = set()

    def configuration(self, tree: Any) -> None:
        """All chips."""
        for chip, (where, node) in enumerate(self.items(self.member(tree, "chips", "value0"), "value0.chips")):
            self.chips += 1
            at = f"{where}.cores"
            for core, (path, inner) in enumerate(self.items(self.member(node, "cores", where), at, CORES)):
                self.core(chip * CORES + core, inner, path)

    def core(self, place: int, node: Any, where: str) -> None:
        """One core with its neurons."""
        core = self.cores[place] = Core()
        neurons = self.items(self.member(node, "neurons", where), f"{where}.neurons", NEURONS)
        for k, (path, inner) in enumerate(neurons):
            if inner != UNUSED_WORD and inner != UNUSED_NEURON:
                self.neurons[place * NEURONS + k] = self.neuron(inner, path)
        watched = self.number(node, "monitoredNeuron", where, 0, NEURONS - 1)
        if self.flag(node, "neuronMonitoringOn", where):
            core.monitored = watched
        self.parameters(core, self.member(node, "parameters", where), f"{where}.parameters")

    def parameters(self, core: Core, node: Any, where: str) -> None:
        """A map of biases, as a list of pairs."""
        if node is _MISSING:
            return
        if not isinstance(node, list):
            self.wrong("must be a list of {key, value}", where, node)
            return
        for k, pair in enumerate(node):
            path = f"{where}[{k}]"
            name, value = self.member(pair, "key", path), self.member(pair, "value", path)
            if name is _MISSING or value is _MISSING:
                continue
            if not isinstance(name, str):
                self.wrong("must be a name", f"{path}.key", name)
            elif name in core.biases:
                self.wrong("a parameter is given once", f"{path}.key", name)
            elif name not in PARAMETERS:
                self.ignored.add(name)
            else:
                self.one_of(value, "type", f"{path}.value", (ord(name[-1]),))
                coarse = self.number(value, "coarseValue", f"{path}.value", 0, 5)
                core.biases[name] = coarse, self.number(value, "fineValue", f"{path}.value", 0, 255)
        if node and (lacking := [name for name in SIMULATOR_NAMES.values() if name not in core.biases]):
            self.problems.append(Problem("parameters are missing", where, limit=", ".join(lacking)))

    def neuron(self, node: Any, where: str) -> Neuron:
        """Synapses, destinations and switches of a neuron that is not an unused one."""
        made = Neuron()
        cam, sram = made.cam, made.sram
        synapses = self.items(self.member(node, "synapses", where), f"{where}.synapses", CAM_ENTRIES)
        for k, (path, inner) in enumerate(synapses):
            if inner != UNUSED_SYNAPSE:
                cam["dendrite"][k] = self.one_of(inner, "dendrite", path, _CODES)
                cam["mask"][k] = self.mask(inner, "weight", path, WEIGHTS)
                cam["tag"][k] = self.number(inner, "tag", path, 0, TAGS - 1)
                cam["stp"][k] = self.flag(inner, "stp", path)
                cam["precise_delay"][k] = self.flag(inner, "preciseDelay", path)
                cam["mismatched_delay"][k] = self.flag(inner, "mismatchedDelay", path)
        destinations = self.items(self.member(node, "destinations", where), f"{where}.destinations", SRAM_ENTRIES)
        for k, (path, inner) in enumerate(destinations):
            if inner != UNUSED_DESTINATION:
                sram["core_mask"][k] = self.mask(inner, "core", path, CORES)
                sram["x_hop"][k] = self.number(inner, "xHop", path, -MAX_HOP, MAX_HOP)
                sram["y_hop"][k] = self.number(inner, "yHop", path, -MAX_HOP, MAX_HOP)
                sram["tag"][k] = self.number(inner, "tag", path, 0, TAGS - 1)
        for key, column in LATCH_KEYS:
            made.latches[column] = self.flag(node, key, where)
        return made

    # --- values -----------------------------------------------------------------------------------------------------

    def wrong(self, what: str, where: str, value: Any, limit: Any = None) -> None:
        """Note a problem."""
        self.problems.append(
            Problem(what, where, value=value if isinstance(value, str) else f"{value!r:.60}", limit=limit)
        )

    def member(self, node: Any, key: str, where: str) -> Any:
        """A field of an object; missing ones are told of here."""
        if not isinstance(node, dict):
            if node is not _MISSING:
                self.wrong("must be an object", where, node)
            return _MISSING
        if key not in node:
            self.problems.append(Problem("is missing", f"{where}.{key}"))
            return _MISSING
        return node[key]

    def items(self, node: Any, where: str, count: int | None = None) -> list[tuple[str, Any]]:
        """(path, value) of a list or of an object value0, value1, ...; of any length where no count is given."""
        if node is _MISSING:
            return []
        if isinstance(node, list):
            found = [(f"{where}[{k}]", value) for k, value in enumerate(node)]
        elif isinstance(node, dict) and all(f"value{k}" in node for k in range(len(node))):
            found = [(f"{where}.value{k}", node[f"value{k}"]) for k in range(len(node))]
        else:
            self.wrong("must be a list, or an object of value0, value1, ...", where, node)
            return []
        if count is not None and len(found) != count:
            self.wrong("wrong length", where, len(found), count)
            return []
        return found

    def number(self, node: Any, key: str, where: str, low: int, high: int) -> int:
        """An integer in a range; `low` where it is not one (0 for hops)."""
        value = self.member(node, key, where)
        # True is an int in Python, and is none in JSON
        if type(value) is int and low <= value <= high:
            return value
        if value is not _MISSING:
            self.wrong("must be an integer in its range", f"{where}.{key}", value, f"{low}..{high}")
        return max(low, 0)

    def one_of(self, node: Any, key: str, where: str, choices: Any) -> int:
        """One of a few integers; 0 where it is not one."""
        value = self.member(node, key, where)
        if type(value) is int and value in choices:
            return value
        if value is not _MISSING:
            self.wrong("is none of the codes there are", f"{where}.{key}", value, ", ".join(map(str, sorted(choices))))
        return 0

    def flag(self, node: Any, key: str, where: str) -> bool:
        """True or false; false where it is neither."""
        value = self.member(node, key, where)
        if type(value) is bool:
            return value
        if value is not _MISSING:
            self.wrong("must be true or false", f"{where}.{key}", value)
        return False

    def mask(self, node: Any, key: str, where: str, count: int) -> int:
        """The bits of a mask."""
        out = 0
        for k, (path, value) in enumerate(self.items(self.member(node, key, where), f"{where}.{key}", count)):
            if type(value) is not bool:
                self.wrong("must be true or false", path, value)
            elif value:
                out |= 1 << k
        return out
