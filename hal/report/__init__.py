"""Reports people look at: a recording as one page, and what notebooks show of reports, mappings and recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hal.mapping import Mapping
    from hal.recording import Recording

__all__ = ["report"]


def report(recording: Recording, mapping: Mapping | None = None) -> str:
    """A recording as one self-contained HTML page that loads nothing from anywhere.

    It has the chip's floor plan, a raster of each node, signals and traces, the load of the cores, losses, findings and
    provenance; its numbers are also in the element `<script type="application/json" id="numbers">`. Its size is
    bounded, whatever the recording's: what is large is counted in bins.

    mapping: what was loaded; default: what the recording kept. Without one there is no floor plan.
    Raises FormatError when a stream of the recording is damaged, ConfigError for other than a Recording.
    """
    from hal.report import page

    return page.build(recording, mapping)
