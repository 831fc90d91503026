"""Two recordings, or two mappings, side by side: where they part first, and in what."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from collections.abc import Mapping as MappingABC
from typing import Any, Final

import attrs
import numpy as np

from hal import config as config_module
from hal.agreement import agreement
from hal.comparison import Divergence, Match
from hal.errors import ConfigError
from hal.events import Signal
from hal.mapping import Mapping, Placement
from hal.recording import Recording
from hal.store.manifest import plain

MAX_LINES: Final = 12
"""Registers and facts named before the rest is only counted."""


@attrs.frozen(kw_only=True)
class NodeDifference:
    """Spikes of one node in two recordings; match is None, and a count too, where only one of them has the node."""

    node: str
    first: int | None
    second: int | None
    match: Match | None


@attrs.frozen(kw_only=True)
class Change:
    """Something that is not the same in both. path: of a fact or a register; count: how many values of an array."""

    path: str
    first: Any
    second: Any
    count: int = 1

    def __str__(self) -> str:
        """One line."""
        if self.count > 1:
            return f"{self.path}: {self.count} values differ, the first is {self.first} and {self.second}"
        return f"{self.path}: {self.first} and {self.second}"


@attrs.frozen(kw_only=True)
class Move:
    """So many neurons of a node sit elsewhere in the second mapping; cores: (chip, core) of the whole node in each."""

    node: str
    count: int
    first: tuple[tuple[int, int], ...]
    second: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        """One line."""
        return f"{self.node}: {self.count} of its neurons moved, {_cores(self.first)} -> {_cores(self.second)}"


def _cores(cores: tuple[tuple[int, int], ...]) -> str:
    if not cores:
        return "nowhere"
    several = len({chip for chip, _ in cores}) > 1 or cores[0][0] > 0
    names = [f"{chip}.{core}" if several else str(core) for chip, core in cores[:MAX_LINES]]
    more = ", ..." if len(cores) > MAX_LINES else ""
    return f"{'core' if len(cores) == 1 else 'cores'} {', '.join(names)}{more}"


@attrs.frozen(kw_only=True)
class RecordingDifference:
    """Two recordings. facts: device, duration, stimulus, options, counters; nodes: spikes; signals: RMS of difference.

    first: the earliest event that only one of them has. mappings: how what was loaded differs; None where one of them
    did not keep it.
    """

    facts: tuple[Change, ...]
    nodes: tuple[NodeDifference, ...]
    signals: MappingABC[str, float]
    mappings: MappingDifference | None

    @property
    def first(self) -> Divergence | None:
        """Of all nodes; of equal times the node that comes first."""
        found = [row.match.first for row in self.nodes if row.match is not None and row.match.first is not None]
        return min(found, key=lambda one: one.t_ns, default=None)

    @property
    def same(self) -> bool:
        """Whether every spike and value is the same; facts may differ."""
        spikes = all(row.match is not None and row.match.first is None for row in self.nodes)
        return spikes and not any(self.signals.values())

    def lines(self) -> list[str]:
        """In words, without the counts of each node."""
        first = self.first
        out = [] if first is None else [f"first difference at {first.t_ns} ns: neuron {first.index} of {first.node}"]
        out += [f"{name}: values differ by {rms:.4g} RMS" for name, rms in self.signals.items() if rms]
        return out + _some(self.facts) + (self.mappings.lines() if self.mappings else [])

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return _json(self)


@attrs.frozen(kw_only=True)
class MappingDifference:
    """Two mappings. facts: device, model, options, clock; registers: of the config.

    moved: nodes of which neurons sit elsewhere in the second (all, where it is placed in one alone).
    """

    facts: tuple[Change, ...]
    moved: tuple[Move, ...]
    registers: tuple[Change, ...]

    @property
    def same(self) -> bool:
        """Whether nothing moved and all registers are equal."""
        return not self.moved and not self.registers

    def lines(self) -> list[str]:
        """In words."""
        return [str(move) for move in self.moved] + _some(self.facts) + _some(self.registers)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return _json(self)


def _some(changes: tuple[Change, ...]) -> list[str]:
    """A line each; where there are too many, one for each part of the whole."""
    if len(changes) <= MAX_LINES:
        return [str(change) for change in changes]
    parts = Counter(re.split(r"(?<=\])|\.", change.path)[0] for change in changes)
    lines = [f"{part}: {count} fields differ" for part, count in parts.items()]
    return lines[:MAX_LINES] + ([f"and {len(lines) - MAX_LINES} parts more"] if len(lines) > MAX_LINES else [])


def _json(found: RecordingDifference | MappingDifference) -> dict[str, Any]:
    out: dict[str, Any] = plain({"same": found.same, **attrs.asdict(found)})
    if isinstance(found, RecordingDifference):
        out["first"] = None if found.first is None else attrs.asdict(found.first)
    return out


def difference(
    first: Recording | Mapping, second: Recording | Mapping, *, window_ns: int = 0
) -> RecordingDifference | MappingDifference:
    """Compare two recordings, or two mappings.

    window_ns: how far two spikes of a pair may be apart in recordings. Raises ConfigError where the two are not of a
    kind, or a node has another shape in the second.
    """
    if isinstance(first, Recording) and isinstance(second, Recording):
        return recording_difference(first, second, window_ns=window_ns)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return mapping_difference(first, second)
    raise ConfigError(
        "two recordings or two mappings are compared", value=(type(first).__name__, type(second).__name__)
    )


# --- recordings -------------------------------------------------------------------------------------------------------


def recording_difference(first: Recording, second: Recording, *, window_ns: int = 0) -> RecordingDifference:
    """See `difference`."""
    names = list(dict.fromkeys([*first.shapes, *second.shapes]))
    signals = {}
    for name in dict.fromkeys([*first.signals, *second.signals]):
        pair = [recording.signals.get(name) for recording in (first, second)]
        signals[name] = _apart(*pair)
    loaded = [recording.mapping for recording in (first, second)]
    return RecordingDifference(
        facts=tuple(_changes(_facts(first), _facts(second), "")),
        nodes=tuple(_node(name, first, second, window_ns) for name in names),
        signals=signals,
        mappings=None if loaded[0] is None or loaded[1] is None else mapping_difference(loaded[0], loaded[1]),
    )


def _facts(recording: Recording) -> dict[str, Any]:
    stimulus = {
        name: {"t": value.t, "values": value.values} if isinstance(value, Signal) else {"events": value}
        for name, value in recording.stimulus.items()
    }
    return {
        "device": recording.device,
        "kind": recording.header.kind,
        "status": recording.status,
        "duration_ns": recording.duration_ns,
        "step_ns": recording.step_ns,
        "stimulus": stimulus,
        "stats": dict(recording.stats),
        **recording.provenance,
    }


def _node(name: str, first: Recording, second: Recording, window_ns: int) -> NodeDifference:
    shapes = [recording.shapes.get(name) for recording in (first, second)]
    counts = [recording.event_count(name) if name in recording.shapes else None for recording in (first, second)]
    if shapes[0] is None or shapes[1] is None:
        return NodeDifference(node=name, first=counts[0], second=counts[1], match=None)
    if shapes[0] != shapes[1]:
        raise ConfigError(f"{name!r} has another shape in the second recording", first=shapes[0], second=shapes[1])
    found = agreement(first.spikes[name], second.spikes[name], math.prod(shapes[0]), window_ns=window_ns)
    at = found.first_difference
    match = Match(
        matched=found.matched,
        spikes=found.spikes,
        reference=found.reference,
        count_error=int(np.abs(found.count_error).max(initial=0)),
        first=None if at is None else Divergence(sample=0, t_ns=at[0], node=name, index=at[1]),
    )
    return NodeDifference(node=name, first=counts[0], second=counts[1], match=match)


def _apart(first: Signal | None, second: Signal | None) -> float:
    """RMS of the difference; infinite where only one of them is there, or their rows differ in number."""
    if first is None or second is None or first.values.shape != second.values.shape:
        return math.inf
    if not first.values.size:
        return 0.0
    return float(np.sqrt(np.mean((np.asarray(first.values, np.float64) - second.values) ** 2)))


# --- mappings ---------------------------------------------------------------------------------------------------------


def mapping_difference(first: Mapping, second: Mapping) -> MappingDifference:
    """See `difference`."""
    facts = [
        {
            "device": mapping.device,
            "model": None if mapping.model is None else mapping.model.fingerprint,
            "semantics": None if mapping.model is None else mapping.model.semantics.to_json(),
            "options": dict(mapping.options),
            "step_ns": mapping.step_ns,
            "speedup": mapping.speedup,
            "profile_id": mapping.profile_id,
            "record": [f"{probe.node}.{probe.variable}" for probe in mapping.record],
        }
        for mapping in (first, second)
    ]
    trees = [config_module.to_tree(mapping.config) for mapping in (first, second)]
    registers = () if first.device != second.device else tuple(_changes(trees[0], trees[1], ""))
    return MappingDifference(
        facts=tuple(_changes(facts[0], facts[1], "")),
        moved=_moved(first.placement, second.placement),
        registers=registers,
    )


def _moved(first: Placement, second: Placement) -> tuple[Move, ...]:
    """Nodes of which neurons are on another chip, core or place, or have other parts."""
    out = []
    for node in first.moved(second):
        seats: list[dict[int, list[tuple[int, ...]]]] = []
        cores: list[tuple[tuple[int, int], ...]] = []
        for placement in (first, second):
            rows = placement.where(node) if node in placement.nodes else placement.rows[:0]
            of: dict[int, list[tuple[int, ...]]] = {}
            for index, *place in rows[["index", "part", "chip", "core", "neuron"]].tolist():
                of.setdefault(index, []).append(tuple(place))
            seats.append(of)
            cores.append(tuple(np.unique(rows[["chip", "core"]]).tolist()))
        count = sum(seats[0].get(index) != seats[1].get(index) for index in seats[0].keys() | seats[1].keys())
        if count:
            out.append(Move(node=node, count=count, first=cores[0], second=cores[1]))
    return tuple(out)


def _changes(first: Any, second: Any, path: str) -> Iterator[Change]:
    """Leaves of two trees of dictionaries, lists and arrays that differ."""
    if isinstance(first, MappingABC) and isinstance(second, MappingABC):
        for key in dict.fromkeys([*first, *second]):
            yield from _changes(first.get(key), second.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        yield from _array(first, second, path)
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple) and len(first) == len(second):
        for position, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from _changes(one, other, f"{path}[{position}]")
    elif type(first) is not type(second) or not np.array_equal(first, second):
        yield Change(path=path, first=_short(first), second=_short(second))


def _array(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any], path: str) -> Iterator[Change]:
    if first.shape != second.shape:
        yield Change(path=f"{path} (shape)", first=first.shape, second=second.shape)
        return
    other = first != second
    if first.dtype.kind == "f" and second.dtype.kind == "f":
        other &= ~(np.isnan(first) & np.isnan(second))
    where = np.argwhere(other)
    if len(where):
        at = tuple(where[0].tolist())
        place = f"{path}[{', '.join(map(str, at))}]" if len(where) == 1 else path
        yield Change(path=place, first=_short(first[at].item()), second=_short(second[at].item()), count=len(where))


def _short(value: Any) -> Any:
    """A leaf, or how much there is."""
    if isinstance(value, MappingABC):
        return f"{len(value)} entries"
    if isinstance(value, np.ndarray):
        return f"array {value.shape}"
    return value if isinstance(value, bool | int | float) or value is None else str(value)
