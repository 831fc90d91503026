"""From the text of a vendor's file to a configuration: with our notes an equal one, without them a derived one."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, NoReturn

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.config import check, from_json
from hal.errors import ConfigError, FormatError, Problem
from hal_dynapse2.config import (
    PARAMETERS,
    CamConfig,
    ChipsConfig,
    CoresConfig,
    Dynapse2Config,
    HostConfig,
    InputConfig,
    NeuronsConfig,
    PopulationConfig,
    SramConfig,
)
from hal_dynapse2.limits import CAM_ENTRIES, CORES, LATCHES, MAX_GRID, NEURONS, SRAM_ENTRIES, TAGS
from hal_dynapse2.routes import routes
from hal_dynapse2.vendor_layout import UNUSED_TEXT, UNUSED_WORD
from hal_dynapse2.vendor_notes import KEY as NOTES_KEY
from hal_dynapse2.vendor_notes import NotesConfig
from hal_dynapse2.vendor_walk import Core, Neuron, Walk

Ints = NDArray[Any]
_log = logging.getLogger(__name__)


def read_text(source: str | Path) -> Dynapse2Config:
    """See `vendor_json.read`."""
    name = str(source) if isinstance(source, Path) else "the text"
    tree = _parse(source, name)
    walk = Walk()
    if not isinstance(tree, dict) or "value0" not in tree:
        _refuse(name, [Problem("is missing: a configuration of the vendor's tool has it", "value0")])
    for key in sorted(tree.keys() - {"value0", NOTES_KEY}):
        walk.problems.append(Problem("is not known", key, limit=f"value0, {NOTES_KEY}"))
    walk.configuration(tree["value0"])
    notes = _notes(tree[NOTES_KEY], walk) if NOTES_KEY in tree else None
    if not walk.problems and notes is None:
        notes = _derived(walk)
    if walk.problems or notes is None:
        _refuse(name, walk.problems)
    if walk.ignored:
        _log.warning("biases_not_kept in %s: %s", name, ", ".join(sorted(walk.ignored)))
    made = _assemble(walk, notes)
    if NOTES_KEY not in tree:
        made = _with_host(made)
    try:
        return check(made, name)
    except ConfigError as error:
        _refuse(name, error.problems)


def _refuse(name: str, problems: Any) -> NoReturn:
    raise FormatError(
        f"{name}: not a configuration of DYNAP-SE2 in the vendor's JSON",
        hint="write one with `hal export MAPPING --to dynapse2-json`, or with the vendor's tool",
        problems=problems,
    )


def _parse(source: str | Path, name: str) -> Any:
    try:
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
        try:
            return json.loads(_shortened(text))
        except ValueError:
            return json.loads(text)  # raises again, with the place of the fault in the file
    except OSError as error:
        raise FormatError(f"{name}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # also bytes that are no UTF-8, and numbers beyond all measure
        _refuse(name, [Problem(f"is no JSON: {error}")])


def _shortened(text: str) -> str:
    """Unused neurons of our own files as one word: most of a file is their text, which reads ten times faster so.

    The text has quotation marks, so it never stands inside of a JSON string.
    """
    return text if UNUSED_WORD in text else text.replace(UNUSED_TEXT, f'"{UNUSED_WORD}"')


def _notes(tree: Any, walk: Walk) -> NotesConfig | None:
    """Our own part; what is wrong in it, and where it is about other registers than those of the file."""
    try:
        notes = from_json(NotesConfig, tree)
    except ConfigError as error:
        walk.problems += [
            Problem(found.what, f"{NOTES_KEY}.{found.where}", found.value, found.limit) for found in error.problems
        ]
        return None
    size = notes.chips.x.size
    if size != walk.chips:
        walk.problems.append(Problem("must be as many as value0.chips", f"{NOTES_KEY}.chips", size, walk.chips))
    for what, table in (("rows", notes.rows), ("cores", notes.cores)):
        if table.size and (int(table[:, 0].max()) >= walk.chips or int(table[:, 1].max()) >= CORES):
            walk.problems.append(Problem("names a core that is not in the file", f"{NOTES_KEY}.{what}"))
    for what, table in (("asked", notes.asked), ("wanted", notes.wanted)):
        if len(table) != len(notes.cores):
            walk.problems.append(
                Problem("one row for each of cores", f"{NOTES_KEY}.{what}", len(table), len(notes.cores))
            )
    rows = {(chip * CORES + core) * NEURONS + neuron for chip, core, neuron in notes.rows.tolist()}
    for place in sorted(walk.neurons.keys() - rows):
        walk.problems.append(Problem("has registers, and is no row", _path(place), limit=f"{NOTES_KEY}.rows"))
    return notes


def _path(place: int) -> str:
    core, neuron = divmod(place, NEURONS)
    return f"value0.chips[{core // CORES}].cores.value{core % CORES}.neurons.value{neuron}"


def _derived(walk: Walk) -> NotesConfig | None:
    """What a file of the vendor's tool leaves to be concluded; the host's part comes later."""
    places = np.array(sorted(place for place, neuron in walk.neurons.items() if neuron.used), np.int64)
    if walk.chips > MAX_GRID:
        told = f"only {MAX_GRID} have a place on a row"
        walk.problems.append(Problem(told, "value0.chips", walk.chips, MAX_GRID))
    if not places.size:
        walk.problems.append(Problem("no neuron has a synapse or a destination", "value0.chips"))
    if walk.problems:
        return None
    cores, first, count = np.unique(places // NEURONS, return_index=True, return_counts=True)
    runs = tuple(
        PopulationConfig(name=f"chip{core // CORES}_core{core % CORES}", first=int(start), shape=(int(size),))
        for core, start, size in zip(cores.tolist(), first, count, strict=True)
    )
    core = places // NEURONS
    for place in cores.tolist():
        if not walk.cores[place].biases:
            where = f"value0.chips[{place // CORES}].cores.value{place % CORES}.parameters"
            walk.problems.append(Problem("a core in use has parameters", where, value=0))
    return NotesConfig(
        populations=runs,
        chips=ChipsConfig(x=np.arange(1, walk.chips + 1), y=np.zeros(walk.chips, np.int64)),
        rows=np.stack([core // CORES, core % CORES, places % NEURONS], axis=1),
        cores=np.stack([cores // CORES, cores % CORES], axis=1),
        asked=np.zeros((cores.size, len(PARAMETERS)), bool),
        wanted=np.zeros((cores.size, len(PARAMETERS))),
    )


def _assemble(walk: Walk, notes: NotesConfig) -> Dynapse2Config:
    """The tables, row by row."""
    rows = notes.rows.astype(np.int64)
    blank = Neuron()
    found = [
        walk.neurons.get(place, blank) for place in ((rows[:, 0] * CORES + rows[:, 1]) * NEURONS + rows[:, 2]).tolist()
    ]
    where = notes.cores.astype(np.int64)
    biased = [walk.cores.get(place, Core()) for place in (where[:, 0] * CORES + where[:, 1]).tolist()]
    pairs = np.array([[core.biases.get(name, (0, 0)) for name in PARAMETERS] for core in biased], np.int64)
    pairs = pairs.reshape(-1, len(PARAMETERS), 2)
    return Dynapse2Config(
        step_ns=notes.step_ns,
        inputs=notes.inputs,
        populations=notes.populations,
        chips=notes.chips,
        neurons=NeuronsConfig(
            chip=notes.rows[:, 0],
            core=notes.rows[:, 1],
            neuron=notes.rows[:, 2],
            latches=np.array([neuron.latches for neuron in found], bool).reshape(-1, len(LATCHES)),
        ),
        cam=CamConfig(
            **{name: _stack([neuron.cam[name] for neuron in found], CAM_ENTRIES, name) for name in blank.cam}
        ),
        sram=SramConfig(
            **{name: _stack([neuron.sram[name] for neuron in found], SRAM_ENTRIES, name) for name in blank.sram}
        ),
        cores=CoresConfig(
            chip=notes.cores[:, 0],
            core=notes.cores[:, 1],
            coarse=pairs[..., 0],
            fine=pairs[..., 1],
            asked=notes.asked,
            wanted=notes.wanted,
            monitored=np.array([core.monitored for core in biased], np.int64),
        ),
        host=notes.host,
    )


def _stack(columns: list[Ints], width: int, name: str) -> Ints:
    kind = bool if name in ("stp", "precise_delay", "mismatched_delay") else np.int64
    return np.array(columns, kind).reshape(-1, width)


def _with_host(config: Dynapse2Config) -> Dynapse2Config:
    """Channels of the host: one for each (chip, tag) that cores listen to and no neuron sends there, in this order."""
    sent = routes(config)
    brought = np.unique(sent.packet_core * TAGS + sent.packet_tag)
    row, slot = np.nonzero((config.cam.dendrite > 0) & (config.cam.mask > 0))
    heard = np.unique(config.neurons.core_place[row] * TAGS + config.cam.tag[row, slot])
    open_ = np.setdiff1d(heard, brought)
    core, tag = np.divmod(open_, TAGS)
    pairs, channel = np.unique(core // CORES * TAGS + tag, return_inverse=True)
    if not pairs.size:
        return config
    masks = np.zeros(pairs.size, np.int64)
    np.bitwise_or.at(masks, channel, 1 << core % CORES)
    return attrs.evolve(
        config,
        inputs=(InputConfig(name="input", shape=(int(pairs.size),)),),
        host=HostConfig(
            channel=np.arange(pairs.size),
            core_mask=masks,
            x_hop=pairs // TAGS,
            y_hop=np.zeros(pairs.size, np.int64),
            tag=pairs % TAGS,
        ),
    )
