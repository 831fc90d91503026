"""The figures of a report as pictures, by matplotlib (extra `plot`): floor plan, rasters, signals, load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hal import floorplan
from hal.errors import HalError, OptionalDependencyError, WriteError
from hal.report import gather, load, sections
from hal.report.drawing import NEUTRAL, OVER, PALETTE, SIGNS, Colours
from hal.wording import quantity

if TYPE_CHECKING:
    from hal.floorplan import Box, FloorPlan
    from hal.mapping import Mapping
    from hal.recording import Recording

DPI: Final = 150
WIDE: Final = 10.0
"""Inches."""
UNIT: Final = 96.0
"""Units of a floor plan in an inch."""


def write(recording: Recording, directory: str | Path, mapping: Mapping | None = None) -> list[Path]:
    """Draw what there is into a folder, made if need be: floorplan.png, raster.png, signals.png, load.png.

    Files of these names are replaced. Gives those written. Raises OptionalDependencyError without matplotlib,
    WriteError when the folder cannot be written.
    """
    figure_class = _figure_class()
    subject = sections.Subject(recording, *sections.loaded(recording, mapping))
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        out = []
        for name, draw in (("floorplan", _floorplan), ("raster", _rasters), ("signals", _signals), ("load", _load)):
            figure = draw(subject, figure_class)
            if figure is not None:
                figure.savefig(folder / f"{name}.png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
                out.append(folder / f"{name}.png")
    except OSError as error:
        raise WriteError(f"cannot write {folder}: {error.strerror or error}", file=str(folder)) from error
    return out


def require() -> None:
    """Raise OptionalDependencyError where matplotlib is missing."""
    _figure_class()


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        hint = 'pip install "neurohal[plot]"; hal report --out FILE needs nothing'
        raise OptionalDependencyError("pictures need matplotlib", hint=hint, package="matplotlib") from error
    return Figure


def _floorplan(of: sections.Subject, figure_class: Any) -> Any:
    if of.mapping is None:
        return None
    try:
        plan = floorplan.of(of.mapping)
    except HalError:
        return None
    return plan_figure(plan, of.colours, figure_class)


def plan_figure(plan: FloorPlan, colours: Colours, figure_class: Any) -> Any:
    """A floor plan as it is on the page."""
    figure = figure_class(figsize=(plan.width / UNIT, plan.height / UNIT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, plan.width), ylim=(plan.height, 0))
    axes.axis("off")
    for box in plan.boxes:
        _box(axes, box, colours)
    for arrow in plan.arrows:
        colour = colours.of(arrow.node)
        x, y = zip(*arrow.points, strict=True)
        axes.plot(x[:-1], y[:-1], color=colour, linewidth=1.2, solid_capstyle="butt")
        how = {"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.2}
        axes.annotate("", arrow.points[-1], arrow.points[-2], arrowprops=how)
        if arrow.label:
            (x0, y0), (x1, y1) = arrow.points[(len(arrow.points) - 1) // 2 :][:2]
            axes.text((x0 + x1) / 2 - 3, (y0 + y1) / 2 - 4, arrow.label, color=colour, fontsize=7, ha="center")
    return figure


def _box(axes: Any, box: Box, colours: Colours) -> None:
    from matplotlib.patches import Rectangle

    colour = colours.of(box.node) if box.node else SIGNS[box.sign]
    faces = {"chip": ("#f4f6f8", "#9aa5b1"), "core": ("#ffffff", "#b4bdc7"), "port": ("#ffffff", colour),
             "memory": ("#e6eaee", "none"), "cell": ("#e6eaee", "none")}  # fmt: skip
    if box.kind in faces:
        face, edge = faces[box.kind]
        axes.add_patch(Rectangle((box.x, box.y), box.width, box.height, facecolor=face, edgecolor=edge, linewidth=0.8))
    share = box.fill or 0.0
    if box.kind == "memory" and share:
        wide, full = min(share, 1.0) * box.width, OVER if share > 1 else colour
        axes.add_patch(Rectangle((box.x, box.y), wide, box.height, facecolor=full, alpha=0.45))
    elif box.kind == "cell" and (box.node or share):
        alpha = 1.0 if box.fill is None else 0.2 + 0.8 * min(share, 1.0)
        axes.add_patch(Rectangle((box.x, box.y), box.width, box.height, facecolor=colour, alpha=alpha, linewidth=0))
    elif box.kind == "core" and box.node:
        axes.add_patch(Rectangle((box.x, box.y), 4, box.height, facecolor=colour, linewidth=0))
    if box.label and box.kind != "cell":
        weight = "bold" if box.kind in ("chip", "core") else "normal"
        middle = box.kind in ("memory", "port")
        at = (box.x + (0 if box.kind == "text" else 5), box.y + (box.height / 2 if middle else 3))
        axes.text(*at, box.label, fontsize=7, weight=weight, va="center" if middle else "top", clip_on=True)


def _rasters(of: sections.Subject, figure_class: Any) -> Any:
    rasters = gather.rasters(of.recording, of.mapping)
    if not rasters or not of.recording.duration_ns:
        return None
    heights = [0.7 if raster.size <= 12 else 1.3 if raster.size <= 256 else 1.9 for raster in rasters]
    figure = figure_class(figsize=(WIDE, sum(heights) + 0.3 * len(rasters)), layout="constrained")
    every = figure.subplots(len(rasters), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    end = of.recording.duration_ns * 1e-6
    for axes, raster in zip(every, rasters, strict=True):
        colour = NEUTRAL if raster.stimulus else of.colours.of(raster.name)
        if raster.t is not None:
            axes.scatter(raster.t * 1e-6, raster.index, s=1.5, color=colour, linewidths=0)
        elif raster.counts is not None:
            from matplotlib.colors import LinearSegmentedColormap

            shades = LinearSegmentedColormap.from_list("", ["white", colour])
            right = len(raster.counts) * raster.bin_ns * 1e-6
            axes.imshow(np.log1p(raster.counts.T), aspect="auto", origin="lower", cmap=shades,
                        extent=(0, right, -0.5, raster.size - 0.5))  # fmt: skip
        axes.set(xlim=(0, end), ylim=(-0.5, raster.size - 0.5))
        axes.set_title(f"{raster.name}: {raster.events:,} events{' fed in' if raster.stimulus else ''}",
                       fontsize=8, loc="left", pad=2)  # fmt: skip
        axes.tick_params(labelsize=7)
    every[-1].set_xlabel("time (ms)", fontsize=8)
    return figure


def _signals(of: sections.Subject, figure_class: Any) -> Any:
    curves = [curve for curve in gather.curves(of.recording) if curve.values.size]
    if not curves:
        return None
    figure = figure_class(figsize=(WIDE, 1.8 * len(curves)), layout="constrained")
    for axes, curve in zip(figure.subplots(len(curves), 1, squeeze=False)[:, 0], curves, strict=True):
        if curve.samples == 1 and curve.width > 1:
            axes.bar(curve.channels, curve.values[0], color=of.colours.of(curve.name))
        else:
            for k in range(curve.values.shape[1]):
                axes.plot(curve.t * 1e-6, curve.values[:, k], linewidth=0.8, color=PALETTE[k % len(PALETTE)])
            axes.set_xlim(0, max(of.recording.duration_ns * 1e-6, 1e-6))
        axes.set_title(f"{curve.name}: {curve.variable}", fontsize=8, loc="left", pad=2)
        axes.tick_params(labelsize=7)
    return figure


def _load(of: sections.Subject, figure_class: Any) -> Any:
    lanes = load.lanes(of.recording, of.mapping)
    if not lanes:
        return None
    figure = figure_class(figsize=(WIDE, 0.7 * len(lanes) + 0.4), layout="constrained")
    every = figure.subplots(len(lanes), 1, sharex=True, squeeze=False)[:, 0]
    wide = load.bin_ns(of.recording)
    stops = load.stretches(of.recording)
    for axes, lane in zip(every, lanes, strict=True):
        if lane.course is not None:
            edges = np.arange(len(lane.course) + 1) * wide * 1e-6
            colour = of.colours.of(lane.nodes[0]) if len(lane.nodes) == 1 else NEUTRAL
            axes.stairs(lane.course / (wide * 1e-9), edges, fill=True, color=colour)
            peak = quantity(float(lane.course.max()) / (wide * 1e-9), "synops/s")
            axes.text(0.005, 0.95, f"peak {peak}", fontsize=7, va="top", transform=axes.transAxes)
            axes.set_yticks([])
        for stop in stops:
            if stop.core in (lane.core, -1):
                axes.axvspan(stop.t0 * 1e-6, stop.t1 * 1e-6, color=OVER, alpha=0.3 * stop.share, linewidth=0)
        axes.set_ylabel(f"core {lane.core}", fontsize=7)
        axes.tick_params(labelsize=7)
        axes.set_xlim(0, of.recording.duration_ns * 1e-6)
    every[0].set_title("synaptic operations per second", fontsize=8, loc="left", pad=2)
    every[-1].set_xlabel("time (ms)", fontsize=8)
    return figure
