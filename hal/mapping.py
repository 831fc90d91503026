"""A mapping: what a mapper made of a model. Registers, placement, fates, losses, and what the chip computes with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as MappingABC
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal.errors import ConfigError, Problem
from hal.events import Port, Probe, Records
from hal.fit import FitReport
from hal.paths import as_path
from hal.semantics import FIELDS, Semantics

if TYPE_CHECKING:
    from hal.device import DeviceSpec
    from hal.model import Model, Projection

FORMAT: Final = "neurohal-mapping-1"
BASE_COLUMNS: Final = [
    ("node", "<u4"),
    ("index", "<u4"),
    ("part", "<u2"),
    ("chip", "<u2"),
    ("core", "<i4"),
    ("neuron", "<i8"),
]


@attrs.frozen(eq=False, repr=False)
class Placement:
    """Where every neuron sits. One row per neuron and part; input channels have rows too, with core -1.

    nodes: names; rows: structured array with columns node (position in `nodes`), index (flat, within the node), part,
    chip, core, neuron, and the extras its `DeviceSpec.placement_extras` declares.
    """

    nodes: tuple[str, ...]
    rows: Records

    def __repr__(self) -> str:
        return f"<Placement of {len(self.rows)} rows: {', '.join(self.nodes)}>"

    @classmethod
    def build(cls, parts: Iterable[MappingABC[str, Any]], extras: Sequence[str] = ()) -> Placement:
        """From one record per node: name plus columns as scalars or arrays of equal length; part and chip default 0."""
        parts = list(parts)
        dtype = np.dtype(BASE_COLUMNS + [(name, "<i8") for name in extras])
        names = [str(part["node"]) for part in parts]
        unknown = {column for part in parts for column in part} - set(dtype.names or ())
        twice = {name for name in names if names.count(name) > 1}
        if unknown or twice:
            raise TypeError(f"placement of unknown columns {sorted(unknown)} or of nodes placed twice {sorted(twice)}")
        blocks = []
        for code, part in enumerate(parts):
            index = np.asarray(part["index"])
            block = np.zeros(index.size, dtype)
            block["node"] = code
            for column in dtype.names or ():
                if column in part and column != "node":
                    block[column] = part[column]
            blocks.append(block)
        rows = np.concatenate(blocks) if blocks else np.zeros(0, dtype)
        return cls(tuple(names), rows)

    def where(self, node: str, index: ArrayLike | None = None) -> Records:
        """The rows of a node, or of some of its neurons (flat indices)."""
        if node not in self.nodes:
            near = get_close_matches(str(node), self.nodes, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.nodes)}"
            raise ConfigError(f"no node {node!r} in the placement", hint=hint, node=node)
        rows: Records = self.rows[self.rows["node"] == self.nodes.index(node)]
        return rows if index is None else rows[np.isin(rows["index"], index)]

    def who(self, chip: int, core: int, neuron: int) -> tuple[str, int] | None:
        """(node, index) of what sits there, or None. The inverse of `where` for all neurons on cores."""
        rows = self.rows
        hit = np.flatnonzero((rows["chip"] == chip) & (rows["core"] == core) & (rows["neuron"] == neuron) & (core >= 0))
        return (self.nodes[rows["node"][hit[0]]], int(rows["index"][hit[0]])) if hit.size else None

    def moved(self, other: Placement) -> list[str]:
        """Names of nodes that sit elsewhere in `other`, or only in one of the two."""
        mine, theirs = ({name: p.where(name) for name in p.nodes} for p in (self, other))
        names = [*self.nodes, *(name for name in other.nodes if name not in mine)]
        return [n for n in names if n not in mine or n not in theirs or not _same_rows(mine[n], theirs[n])]


def _same_rows(a: Records, b: Records) -> bool:
    columns = [name for name in a.dtype.names or () if name != "node"]
    return len(a) == len(b) and all(np.array_equal(a[name], b[name]) for name in columns)


@attrs.frozen(kw_only=True)
class Fate:
    """What became of one NIR node: on the chip, folded into another, on the host, or added by the mapper."""

    node: str
    fate: Literal["chip", "folded", "host", "added"]
    onto: str = ""
    reason: str = ""


def plain_fates(model: Model) -> list[Fate]:
    """Of every node, where each population is on the chip and all between two of them is folded into synapses."""
    fates = {name: Fate(node=name, fate="folded") for name in (*model.inputs, *model.outputs)}
    for node in model.populations():
        fates.setdefault(node.name, Fate(node=node.name, fate="chip"))
    for projection in model.projections():
        to_output = projection.target in model.outputs
        onto, reason = ("", "order of addresses") if to_output else (projection.target, "synapses")
        for node in projection.path:
            fates.setdefault(node.name, Fate(node=node.name, fate="folded", onto=onto, reason=reason))
    for name in model.nodes:
        fates.setdefault(name, Fate(node=name, fate="folded", reason="on no way between populations"))
    return list(fates.values())


def _feeding(projection: Projection, index: ArrayLike | None) -> NDArray[Any] | None:
    """Source elements with a connection to some of the target's elements."""
    if index is None:
        return None
    matrix = projection.matrix()
    return np.unique(matrix[_checked_index(projection.target, index, matrix.shape[0])].indices)


def _checked_index(node: str, index: ArrayLike, size: int) -> NDArray[Any]:
    asked = np.atleast_1d(index)
    if not asked.size:
        return asked.astype(np.int64)
    if asked.dtype.kind not in "iu" or not 0 <= asked.min() <= asked.max() < size:
        problem = Problem("no such index", node, value=asked[:5].tolist(), limit=f"integers 0..{size - 1}")
        raise ConfigError(f"{node} has no such neuron", problems=[problem])
    return asked


LOSS: Final = np.dtype(
    [("node", "<u4"), ("parameter", "<u4"), ("index", "<i8"), ("wanted", "<f8"), ("realised", "<f8"), ("reason", "<u4")]
)


@attrs.frozen(eq=False, repr=False)
class Losses:
    """Everything the chip could not keep: rows (node, parameter, flat index, wanted, realised, reason).

    The three word columns are positions in `nodes`, `parameters` and `reasons`. Values are in model units.
    """

    nodes: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    rows: Records = attrs.field(factory=lambda: np.zeros(0, LOSS))

    @classmethod
    def build(cls, groups: Iterable[tuple[str, str, NDArray[Any], NDArray[Any], NDArray[Any], str]]) -> Losses:
        """From groups (node, parameter, flat indices, wanted, realised, reason)."""
        words: tuple[list[str], list[str], list[str]] = ([], [], [])
        blocks = []
        for node, parameter, index, wanted, realised, reason in groups:
            if not np.size(index):
                continue
            block = np.zeros(np.size(index), LOSS)
            for column, word, table in zip(
                ("node", "parameter", "reason"), (node, parameter, reason), words, strict=True
            ):
                if word not in table:
                    table.append(word)
                block[column] = table.index(word)
            block["index"], block["wanted"], block["realised"] = index, wanted, realised
            blocks.append(block)
        rows = np.concatenate(blocks) if blocks else np.zeros(0, LOSS)
        return cls(tuple(words[0]), tuple(words[1]), tuple(words[2]), rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        lines = [f"{count} of {node}.{name} {reason}" for node, name, reason, count in self.summary()]
        return f"<Losses: {'; '.join(lines) or 'none'}>"

    def __iter__(self) -> Any:
        for row in self.rows:
            yield (
                self.nodes[row["node"]],
                self.parameters[row["parameter"]],
                int(row["index"]),
                float(row["wanted"]),
                float(row["realised"]),
                self.reasons[row["reason"]],
            )

    def summary(self) -> list[tuple[str, str, str, int]]:
        """(node, parameter, reason, how many), one line each."""
        keys, counts = np.unique(self.rows[["node", "parameter", "reason"]], return_counts=True)
        return [
            (self.nodes[k["node"]], self.parameters[k["parameter"]], self.reasons[k["reason"]], int(n))
            for k, n in zip(keys, counts, strict=True)
        ]

    def connections(self, model: Model) -> list[tuple[str, NDArray[np.int64], str, NDArray[np.int64]]]:
        """The lost weights as connections: (source, source indices, target, target indices) per projection."""
        out = []
        for code, name in enumerate(self.nodes):
            of_node = self.rows[self.rows["node"] == code]
            lost = {
                word: of_node["index"][of_node["parameter"] == p]
                for p, word in enumerate(self.parameters)
                if word in ("weight", "scale")
            }
            lost = {word: index for word, index in lost.items() if index.size}
            if not lost:
                continue
            for projection in model.projections():
                hit = [k for k, node in enumerate(projection.path) if node.name == name]
                if not hit:
                    continue
                node: Any = projection.path[hit[0]]
                ((word, index),) = lost.items()
                values = getattr(node, word)
                mask = np.zeros(values.size)
                mask[index] = 1.0
                path = [_pattern(other) for other in projection.path]
                path[hit[0]] = attrs.evolve(node, **{word: mask.reshape(values.shape)})
                target, source = attrs.evolve(projection, path=tuple(path)).matrix().nonzero()
                out.append((projection.source, source.astype(np.int64), projection.target, target.astype(np.int64)))
        return out


def _pattern(node: Any) -> Any:
    """A node with every weight that is not zero set to 1, so that connections behind it can neither cancel nor hide."""
    for name in ("weight", "scale"):
        values = getattr(node, name, None)
        if values is not None:
            return attrs.evolve(node, **{name: (values != 0).astype(np.float64)})
    return node


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Mapping:
    """What `Mapper.map` returns and `Device.load` takes.

    device: spec name. model: as given (None when adopted from registers). config: the registers. realised: what the
    chip computes with, in model units, per (node, parameter). inputs, outputs: the ports a user sees. record: what is
    recorded besides the outputs. step_ns: the clock step, None without one. speedup: model ns per device ns.
    options: the map options, as JSON. latency_ns: fixed delay of a node against the model. front, back: what the host
    computes before and after the chip; on_chip: the part between them, with Inputs and Outputs where it was cut (the
    model itself without host parts).
    """

    device: str
    config: Any
    placement: Placement
    fit: FitReport
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    model: Model | None = None
    fates: tuple[Fate, ...] = ()
    losses: Losses = attrs.field(factory=Losses)
    realised: MappingABC[tuple[str, str], NDArray[Any]] = attrs.field(factory=dict)
    record: tuple[Probe, ...] = ()
    step_ns: int | None = None
    speedup: float = 1.0
    latency_ns: MappingABC[str, int] = attrs.field(factory=dict)
    on_chip: Model | None = None
    front: Model | None = None
    back: Model | None = None
    profile_id: str | None = None
    options: MappingABC[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.on_chip is None:
            object.__setattr__(self, "on_chip", self.model)

    def __repr__(self) -> str:
        made = "from registers" if self.model is None else repr(self.model)[1:-1]
        changed = len(self.fit.changed)
        return f"<Mapping on {self.device}, {made}; {changed} changes, {len(self.losses)} losses>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from hal.report import notebook

        return notebook.mapping(self)

    def where(self, node: str, index: ArrayLike | None = None) -> Records:
        """Rows of the placement; for an Output, or elements of one, those of the neurons that feed it.

        What the host computes has no place: no rows. Raises ConfigError for a name that the model lacks.
        """
        if self.model is not None and node in self.model.outputs:
            feeding = [p for p in self.model.projections() if p.target == node and p.source in self.placement.nodes]
            found = [self.placement.where(p.source, _feeding(p, index)) for p in feeding]
            return np.concatenate([self.placement.rows[:0], *found])
        if self.model is not None and node in self.model.nodes:
            if index is not None:
                _checked_index(node, index, self.model.nodes[node].size)
            if node not in self.placement.nodes:
                return self.placement.rows[:0]
        return self.placement.where(node, index)

    def who(self, chip: int, core: int, neuron: int) -> tuple[str, int] | None:
        """(node, index) of what sits at a place of the chip."""
        return self.placement.who(chip, core, neuron)

    def with_config(self, config: Any) -> Mapping:
        """The same placement with registers edited by hand; checked again.

        Raises CapabilityError without `map.edit`, ConfigError and DoesNotFitError as `map` does.
        """
        from hal import registry

        return registry.mapper(self.device).edit(self, config)

    def realised_model(self) -> Model | None:
        """The model with the numbers the chip computes with."""
        if self.model is None:
            return None
        nodes: dict[str, Any] = dict(self.model.nodes)
        for (name, parameter), values in self.realised.items():
            if name in nodes and parameter in type(nodes[name]).parameters:
                shape = getattr(nodes[name], parameter).shape
                nodes[name] = attrs.evolve(nodes[name], **{parameter: np.reshape(values, shape)})
        more = {name: getattr(self.model, name) for name in ("notes", "metadata", "semantics_given")}
        return type(self.model).of(nodes, self.model.edges, self._realised_semantics(self.model.semantics), **more)

    def _realised_semantics(self, semantics: Semantics) -> Semantics:
        """With what is realised of the semantics' own fields, such as a lower bound."""
        overrides = {node: dict(fields) for node, fields in semantics.overrides.items()}
        for (node, name), values in self.realised.items():
            if name in FIELDS:
                overrides.setdefault(node, {})[name] = float(np.ravel(values)[0])
        return attrs.evolve(semantics, overrides=overrides)

    def save(self, path: str | Path) -> None:
        """One zip of manifest.json and .npy files; `hal.read_mapping` is the inverse. Replaces atomically."""
        from hal.store import mappings

        mappings.write(self, as_path(path, "Mapping.save"))


def read_mapping(path: str | Path, spec: DeviceSpec | None = None) -> Mapping:
    """Read what `Mapping.save` wrote, checked against the schema of its device.

    spec: of the device it was made for; default: the registry's.
    Raises FormatError when the file is no mapping or broken, PluginError when its device is not installed, ConfigError
    when the registers are not valid.
    """
    from hal.store import mappings

    return mappings.read(as_path(path, "read_mapping"), spec)
