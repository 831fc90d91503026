"""From a raw graph to typed nodes: sub-graphs flattened, shapes inferred, every edge and every cycle checked."""

from __future__ import annotations

import attrs

from hal.graph import Edge, cyclic, neighbours, one_cycle, reachable
from hal.nir.draft import Draft, draft, finish
from hal.nir.infer import infer
from hal.nir.raw import MAX_EDGES, Notebook, RawGraph, RawNode, nearest, place
from hal.nodes import PRIMITIVES, Node


@attrs.define(eq=False)
class Flat:
    """One level of nodes. `ports` are the Inputs and Outputs of sub-graphs; None is a node that was reported."""

    nodes: dict[str, RawNode | None] = attrs.field(factory=dict)
    edges: list[Edge] = attrs.field(factory=list)
    ports: set[str] = attrs.field(factory=set)


def flatten(graph: RawGraph, book: Notebook, prefix: str = "", into: Flat | None = None) -> Flat:
    """All nodes in one level: 'outer.inner'; edges of a sub-graph go to its Input and come from its Output."""
    flat = Flat() if into is None else into
    for key, node in sorted(graph.nodes.items()):
        name = f"{prefix}{key}"
        if isinstance(node, RawGraph):
            flatten(node, book, f"{name}.", flat)
            book.note(name, "nodes", f"sub-graph flattened: its nodes are named '{name}.*'")
            if node.metadata:
                book.note(name, "metadata", "metadata of a sub-graph; left out", wanted=sorted(node.metadata))
            continue
        if name in flat.nodes:
            book.fault("two nodes have this name once sub-graphs are flattened", place(name), hint="rename one")
        flat.nodes[name] = node
        if prefix and node is not None and node.type in ("Input", "Output"):
            flat.ports.add(name)
    _level_edges(graph, prefix, flat, book)
    return flat


def _level_edges(graph: RawGraph, prefix: str, flat: Flat, book: Notebook) -> None:
    """The edges of one graph, checked and resolved."""
    level = f" of sub-graph {prefix[:-1]!r}" if prefix else ""
    seen: set[Edge] = set()
    for edge in sorted(graph.edges):
        where = f"edge {edge}{level}"
        if edge in seen:
            book.fault("the same edge twice", where, hint="two edges into one node add up; use a Scale to double")
            continue
        seen.add(edge)
        ends = [_end(graph, name, side, where, book) for name, side in zip(edge, ("Output", "Input"), strict=True)]
        for name, wrong in zip(edge, ("Output", "Input"), strict=True):
            node = graph.nodes.get(name)
            if isinstance(node, RawNode) and node.type == wrong:
                verb = "leaves" if wrong == "Output" else "enters"
                book.fault(f"an edge {verb} the {wrong} {name!r}", where)
        if None not in ends:
            flat.edges.append((f"{prefix}{ends[0]}", f"{prefix}{ends[1]}"))


def _end(graph: RawGraph, name: str, port: str, where: str, book: Notebook) -> str | None:
    """The node that an end of an edge means: itself, or the one Input or Output of a sub-graph."""
    if name not in graph.nodes:
        if (inner := _port_by_name(graph, name, port)) is not None:
            return inner
        known = ", ".join(sorted(graph.nodes))
        hint = f"{nearest(name, graph.nodes)} the nodes are: {known}".strip()
        book.fault(f"the edge names a node {name!r} that does not exist", where, hint=hint)
        return None
    node = graph.nodes[name]
    if not isinstance(node, RawGraph):
        return name
    ports = [key for key, inner_node in sorted(node.nodes.items()) if getattr(inner_node, "type", "") == port]
    if len(ports) == 1:
        return f"{name}.{ports[0]}"
    if not ports:
        book.fault(f"the sub-graph {name!r} has no {port}", where)
    else:
        choice = ", ".join(repr(f"{name}.{key}") for key in ports)
        book.fault(f"the sub-graph {name!r} has {len(ports)} {port} nodes", where, hint=f"name one of {choice}")
    return None


def _port_by_name(graph: RawGraph, name: str, port: str) -> str | None:
    """'sub.port' as the end of an edge, for sub-graphs with several Inputs or Outputs."""
    for key, node in graph.nodes.items():
        if isinstance(node, RawGraph) and name.startswith(f"{key}."):
            inner = node.nodes.get(name[len(key) + 1 :])
            if isinstance(inner, RawNode) and inner.type == port:
                return name
    return None


def build(graph: RawGraph, drop_batch_axis: bool, book: Notebook) -> tuple[dict[str, Node], list[Edge]]:
    """Typed nodes and edges. What is wrong is in the book; the result is of use only if nothing is."""
    flat = flatten(graph, book)
    # a node or an edge that could not be read would make everything near it look unconnected
    whole = not book.problems
    drafts: dict[str, Draft | None] = {
        name: draft(name, raw, name in flat.ports, book) if raw is not None else None
        for name, raw in sorted(flat.nodes.items())
    }
    _check_cycles(flat, book)
    infer(drafts, flat.edges, drop_batch_axis, book)
    edges = _without_ports(flat, book)
    if whole:
        _check_ends(flat, edges, book)
        _note_unconnected(flat, edges, book)
    typed = {name: finish(made, book) for name, made in drafts.items() if made is not None and not made.port}
    return {name: node for name, node in typed.items() if node is not None}, edges


def _check_cycles(flat: Flat, book: Notebook) -> None:
    """A loop needs a neuron or a delay in it, else its values depend on themselves within one step."""
    instant = [name for name, raw in flat.nodes.items() if raw is not None and _stateless(raw.type)]
    known = set(instant)
    edges = [(a, b) for a, b in flat.edges if a in known and b in known]
    for group in cyclic(instant, edges):
        walk = " -> ".join(repr(name) for name in one_cycle(group, edges))
        book.fault(f"cycle without state: {walk}", "the graph", hint="put a neuron or a Delay into the loop")


def _stateless(kind: str) -> bool:
    """Whether a value passes within one step. What leaves a neuron within a loop acts one step later."""
    return kind in ("Input", "Output") or not (kind == "Delay" or PRIMITIVES[kind].population)


def _without_ports(flat: Flat, book: Notebook) -> list[Edge]:
    """Edges of the flat graph past the Inputs and Outputs of sub-graphs."""
    ways: dict[Edge, str] = dict.fromkeys(flat.edges, "directly")
    for port in sorted(flat.ports):
        entering = [source for source, target in ways if target == port and source != port]
        leaving = [target for source, target in ways if source == port and target != port]
        ways = {edge: way for edge, way in ways.items() if port not in edge}
        for edge in [(a, b) for a in entering for b in leaving]:
            if edge in ways:
                what = f"two ways from {edge[0]!r} to {edge[1]!r}: {ways[edge]}, and through {port!r}"
                hint = "flattening the sub-graph makes them the same edge twice; use a Scale of 2, or drop one"
                book.fault(what, f"edge {edge}", hint=hint)
            ways[edge] = f"through {port!r}"
        if len(ways) > MAX_EDGES:
            book.fault("too many edges once sub-graphs are flattened", "the graph", len(ways), MAX_EDGES)
            break
    return sorted(ways)


def _check_ends(flat: Flat, edges: list[Edge], book: Notebook) -> None:
    """An Input and an Output; nothing else may begin a path, since nothing would ever drive it."""
    kinds = {name: raw.type for name, raw in flat.nodes.items() if raw is not None and name not in flat.ports}
    for kind in ("Input", "Output"):
        if kind not in kinds.values():
            example = "nir.Input(input_type=...)" if kind == "Input" else "nir.Output(output_type=...)"
            book.fault(f"the graph has no {kind} node", "the root graph", hint=f"add {example} and an edge")
    entered, left = {b for _, b in edges}, {a for a, _ in edges}
    for name, kind in sorted(kinds.items()):
        if kind == "Output" and name not in entered:
            book.fault("no edge leads to this Output", place(name), hint="connect it or leave it out")
        elif kind not in ("Input", "Output") and name in left and name not in entered:
            hint = "add an Input node and an edge from it"
            book.fault(f"no edge leads to this {kind}, and it is no Input", place(name), hint=hint)


def _note_unconnected(flat: Flat, edges: list[Edge], book: Notebook) -> None:
    """Say which nodes no stimulus reaches, and which reach no Output."""
    kinds = {name: raw.type for name, raw in flat.nodes.items() if raw is not None and name not in flat.ports}
    inputs = [name for name, kind in kinds.items() if kind == "Input"]
    outputs = [name for name, kind in kinds.items() if kind == "Output"]
    used = {name for edge in edges for name in edge}
    driven = reachable(inputs, neighbours(kinds, edges))
    heard = reachable(outputs, neighbours(kinds, edges, backward=True))
    for name in sorted(kinds):
        if name not in used:
            book.note(name, "edges", "not connected to anything")
        elif name not in driven:
            book.note(name, "edges", "no Input reaches it")
        elif name not in heard:
            book.note(name, "edges", "it reaches no Output")
    for side, names in (("inputs", inputs), ("outputs", outputs)):
        if len(names) > 1:
            book.note("", side, f"{len(names)} {side}: {', '.join(map(repr, sorted(names)))}")
