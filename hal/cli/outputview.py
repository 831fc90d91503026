"""Where the neurons behind each Output are, one by one: what somebody asks who reads a chip's events by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hal.cli.show import Page, add, number, table
from hal.events import Records

if TYPE_CHECKING:
    from hal.mapping import Mapping

MOST: Final = 12
"""Neurons shown of an Output; the others are counted."""


def rows(mapping: Mapping) -> dict[str, Records]:
    """The placement of the neurons that feed each Output; none where the host computes it."""
    return {port.name: mapping.where(port.name) for port in mapping.outputs}


def to_json(mapping: Mapping) -> dict[str, list[dict[str, Any]]]:
    """The same as JSON: an object per neuron, by the names of the placement's columns."""
    nodes = mapping.placement.nodes
    return {
        name: [dict(zip(found.dtype.names or (), (nodes[row[0]], *row[1:]), strict=True)) for row in found.tolist()]
        for name, found in rows(mapping).items()
    }


def outputs(page: Page, mapping: Mapping) -> None:
    """A line per neuron, with the columns of its chip family; a dash for what there is none of."""
    found = {name: there for name, there in rows(mapping).items() if there.size}
    if not found:
        return
    page.heading("Outputs")
    columns = [name for name in next(iter(found.values())).dtype.names or () if name not in ("node", "part")]
    made = table("output", "layer", *columns, right=tuple(columns))
    for name, there in found.items():
        for row in there[:MOST]:
            layer = mapping.placement.nodes[row["node"]]
            add(made, name, layer, *("-" if row[column] < 0 else number(int(row[column])) for column in columns))
    page.table(made)
    for name, there in found.items():
        if there.size > MOST:
            page.line(f"{name}: {number(there.size - MOST)} more; mapping.where({name!r}) has all", "dim")
