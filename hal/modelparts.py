"""Parts of a model, for what runs on the host, and its form in an archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from hal.errors import FormatError, HalError, ModelError, Problem
from hal.fit import Finding
from hal.graph import cyclic
from hal.nir.draft import output_of
from hal.nir.raw import place
from hal.nir.shapes import ShapeError
from hal.nodes import PRIMITIVES, Input, Node, Output
from hal.semantics import Semantics

if TYPE_CHECKING:
    from hal.model import Model

Arrays = dict[str, np.ndarray[Any, Any]]


def part(model: Model, names: frozenset[str], entries: Mapping[str, str], exits: Mapping[str, str] | None) -> Model:
    """See `Model.part`."""
    from hal.model import Model  # the class this serves; it imports this module

    entering = [(a, b) for a, b in model.edges if a not in names and b in names]
    leaving = [(a, b) for a, b in model.edges if a in names and b not in names]
    sources = {a: entries.get(a, a) for a, _ in entering}
    sinks = {a: f"{a}.out" for a, _ in leaving} if exits is None else dict(exits)
    _check_cut(model, names, {**entries}, sources, sinks)
    nodes: dict[str, Node] = {name: model.nodes[name] for name in sorted(names)}
    edges = [(a, b) for a, b in model.edges if a in names and b in names]
    signals = {name for name in model.semantics.signals if name in names}
    for outside, name in sources.items():
        shape = model.nodes[outside].output_shape
        nodes[name] = Input(name=name, input_shape=shape, output_shape=shape)
        if (not model.nodes[outside].spiking and outside not in model.inputs) or outside in model.semantics.signals:
            signals.add(name)
    edges += [(sources[a], b) for a, b in entering]
    for inside, name in sinks.items():
        shape = model.nodes[inside].output_shape
        nodes[name] = Output(name=name, input_shape=shape, output_shape=shape)
        edges.append((inside, name))
    overrides = {name: fields for name, fields in model.semantics.overrides.items() if name in names}
    changed: dict[str, Any] = {"signals": frozenset(signals), "overrides": overrides}
    semantics = attrs.evolve(model.semantics, **changed)
    notes = tuple(finding for finding in model.notes if finding.node in names)
    return Model.of(nodes, edges, semantics, notes=notes, semantics_given=model.semantics_given)


def _check_cut(
    model: Model,
    names: frozenset[str],
    entries: Mapping[str, str],
    sources: Mapping[str, str],
    sinks: Mapping[str, str],
) -> None:
    """Known names, no clashes, no loop cut in two."""
    problems = [
        Problem("no such node in the model", f"part, node {name!r}") for name in sorted(names - set(model.nodes))
    ]
    problems += [
        Problem("feeds nothing in the part", f"entries, node {name!r}", limit=sorted(sources))
        for name in sorted(set(entries) - set(sources))
    ]
    problems += [
        Problem("not in the part", f"exits, node {n!r}") for n in sorted(set(sinks) - (names & set(model.nodes)))
    ]
    taken = set(names)
    for name in (*sources.values(), *sinks.values()):
        if name in taken:
            problems.append(Problem("the name is taken in the part", f"node {name!r}", hint="give another name"))
        taken.add(name)
    for group in cyclic(list(model.nodes), model.edges):
        if group <= names or not group & names:
            continue
        loop = sorted(group)
        problems.append(Problem(f"the cut goes through the loop of {', '.join(map(repr, loop))}", "part"))
    if problems:
        raise ModelError("the part cannot be cut out", problems=problems)


def flat(model: Model) -> tuple[dict[str, Any], Arrays]:
    """See `Model.flat`. Keys of arrays are 'node number.field', since names may hold any character."""
    arrays: Arrays = {}
    nodes = []
    for number, (name, node) in enumerate(model.nodes.items()):
        entry: dict[str, Any] = {"name": name, "type": node.type, "values": {}, "arrays": {}}
        for field in attrs.fields(type(node)):
            value = getattr(node, field.name)
            if isinstance(value, np.ndarray):
                key = f"{number:04d}.{field.name}"
                arrays[key] = value
                entry["arrays"][field.name] = key
            elif field.name not in ("name", "metadata"):
                entry["values"][field.name] = value
        entry["metadata"] = _pack(node.metadata, f"{number:04d}.metadata", arrays)
        nodes.append(entry)
    tree = {
        "nodes": nodes,
        "edges": [list(edge) for edge in model.edges],
        "semantics": model.semantics.to_json(),
        "semantics_given": model.semantics_given,
        "fingerprint": model.fingerprint,
        "notes": [
            {key: _plain(value) for key, value in attrs.asdict(finding, recurse=False).items()}
            for finding in model.notes
        ],
        "metadata": _pack(model.metadata, "metadata", arrays),
    }
    return tree, arrays


def unflat(tree: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Model:
    """See `Model.unflat`."""
    from hal.model import Model  # as above

    try:
        nodes = {entry["name"]: _node(entry, arrays) for entry in tree["nodes"]}
        edges = [(str(a), str(b)) for a, b in tree["edges"]]
        semantics = Semantics.from_json(tree["semantics"])
        notes = tuple(Finding(**{key: _tuples(value) for key, value in note.items()}) for note in tree["notes"])
        metadata = _unpack(tree["metadata"], arrays)
        given, expected = bool(tree["semantics_given"]), tree["fingerprint"]
        model = Model.of(nodes, edges, semantics, notes=notes, metadata=metadata, semantics_given=given)
    except HalError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"the archive does not hold a model: {type(error).__name__} {error}") from error
    _check_consistent(model)
    if model.fingerprint != expected:
        raise FormatError(
            "the model in the archive is not the one that was saved: its fingerprint differs",
            value=model.fingerprint,
            limit=expected,
        )
    return model


def _check_consistent(model: Model) -> None:
    """Shapes that follow from the parameters, edges between nodes that exist and agree."""
    problems = []
    for node in model.nodes.values():
        try:
            if (output := output_of(node)) != node.output_shape:
                problems.append(Problem("the output shape is wrong", place(node.name), node.output_shape, output))
        except (ShapeError, AttributeError, IndexError, TypeError, ValueError) as error:
            problems.append(Problem(f"the parameters are not those of a {node.type}: {error}", place(node.name)))
    for edge in model.edges:
        a, b = (model.nodes.get(name) for name in edge)
        if a is None or b is None or a.output_shape != b.input_shape:
            problems.append(Problem("no such connection", f"edge {edge}"))
    if problems:
        raise FormatError("the archive holds a broken model", problems=problems)


def _node(entry: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Node:
    values = {key: _tuples(value) for key, value in entry["values"].items()}
    values |= {field: arrays[key] for field, key in entry["arrays"].items()}
    return PRIMITIVES[entry["type"]](name=entry["name"], metadata=_unpack(entry["metadata"], arrays), **values)


def _pack(value: Any, key: str, arrays: Arrays) -> Any:
    """Metadata for JSON: mappings as {"map": ...}, arrays by key, odd objects as text."""
    if isinstance(value, Mapping):
        return {"map": {str(k): _pack(v, f"{key}.{i}", arrays) for i, (k, v) in enumerate(value.items())}}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        arrays[key] = value
        return {"array": key}
    return {"value": _plain(value)}


def _unpack(value: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    if "map" in value:
        return {key: _unpack(item, arrays) for key, item in value["map"].items()}
    return arrays[value["array"]] if "array" in value else value["value"]


def _plain(value: Any) -> Any:
    """What JSON can hold; numpy numbers become Python's, anything odd its text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _tuples(value: Any) -> Any:
    """JSON lists back to tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
