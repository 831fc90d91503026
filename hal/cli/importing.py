"""`hal import`: a file of a vendor's tool as a mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hal.cli import fitting, fitview, resolve
from hal.cli.failures import usage
from hal.cli.show import Page, assemble, number, print_json

if TYPE_CHECKING:
    from hal.mapping import Mapping


def import_(path: str, format: str, device: str | None, out: str | None, *, as_json: bool) -> int:  # noqa: A002
    """Print where everything is, and write the mapping."""
    from hal import importing

    source = resolve.existing(path, "FILE")
    if out is not None:
        resolve.mapping_target(out)
    if device is not None:
        resolve.device(device)
    with usage():
        spec = importing.reader(format, device)
    mapping = importing.import_mapping(source, format, device=spec.name)
    if out is not None:
        mapping.save(out)
    if as_json:
        print_json(fitting.summary(mapping) | {"from": format, "out": out})
        return 0
    page = Page()
    page.heading(assemble((path, "bold"), f", {format}, on ", (spec.name, "bold")))
    page.line(_about(mapping), "dim")
    fitview.placement(page, mapping)
    fitview.findings(page, mapping.fit)
    if out is not None:
        page.gap()
        page.verbatim(f"written to {out}")
    return 0


def _about(mapping: Mapping) -> str:
    ins, outs = (", ".join(port.name for port in ports) or "none" for ports in (mapping.inputs, mapping.outputs))
    neurons = sum(place.neurons for place in fitview.places(mapping))
    return f"{number(neurons)} neurons; inputs: {ins}; outputs: {outs}"
