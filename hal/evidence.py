"""What a plugin brings to its own trial: recorded answers, tighter floors, models at its limits, an overload.

The optional hook `hal_conformance(spec)` returns an `Evidence`; the suite believes none of it and tries all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from hal.errors import FormatError, Problem
from hal.events import EVENT, Records
from hal.model import Model, read_model
from hal.semantics import Semantics

FORMAT: Final = "neurohal-vector-1"


@attrs.frozen(kw_only=True, eq=False)
class Vector:
    """An answer the plugin vouches for: what a model gives for a stimulus, by somebody else's account.

    source: who gave the answer: a simulator and its version, a chip. stimulus: EVENT records per Input. spikes: EVENT
    records per Output or population, all of them, at the times at which the device has to give them. options,
    open_options: for the mapper and for opening. window_ns: how far a spike may be from its time, 0 for equal; the
    suite takes no window that lets neighbouring spikes be mistaken.
    """

    name: str
    source: str
    model: Model
    stimulus: Mapping[str, Records]
    duration_ns: int
    spikes: Mapping[str, Records]
    options: Mapping[str, Any] = attrs.field(factory=dict)
    open_options: Mapping[str, Any] = attrs.field(factory=dict)
    window_ns: int = 0


@attrs.frozen(kw_only=True, eq=False)
class Limit:
    """A pair of models about one resource: `fits` needs at most what there is, `over` more.

    options: for the mapper, for both.
    """

    resource: str
    fits: Model
    over: Model
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True, eq=False)
class Overload:
    """What is too much for the device in its default mode: a model and a stimulus."""

    model: Model
    stimulus: Mapping[str, Records]
    duration_ns: int
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True, eq=False)
class Evidence:
    """All that a plugin says for one device; each part may be left out.

    vectors: needed for gold. agreement: a floor of the share of spikes that agree with `ideal`, above the suite's own.
    limits: for resources that the suite's growing networks do not reach. overload: where the suite's flood of events is
    not one. why: one sentence, why the device does not reach gold, for the table of devices.
    """

    vectors: tuple[Vector, ...] = ()
    agreement: float | None = None
    limits: tuple[Limit, ...] = ()
    overload: Overload | None = None
    why: str = ""


def evidence(name: str) -> Evidence:
    """What the plugin says for a device, by the device's name; an empty one where it says nothing.

    Raises PluginError when there is no such device, or its plugin does not load or answers with something else.
    """
    from hal import registry

    if not registry.implements(name, "hal_conformance"):
        return Evidence()
    made = registry.call(name, "hal_conformance")
    if made is None or isinstance(made, Evidence):
        return made or Evidence()
    plugin, _ = registry.current().resolve(name)
    raise plugin.fault("hal_conformance", f"returned {type(made).__name__}, not an Evidence")


def read_vectors(folder: str | Path) -> tuple[Vector, ...]:
    """Every vector in a folder, by name. Raises FormatError with every problem of the first file that has one."""
    return tuple(_read(path) for path in sorted(Path(folder).glob("*.npz")))


def write_vector(folder: str | Path, name: str, model: str | Path, **about: Any) -> Vector:
    """Write a vector into a folder, made if need be, as NAME.npz and NAME.nir; gives it as it reads back.

    Args:
        folder: where it goes.
        name: of the two files.
        model: NIR file, copied.
        about: the other fields of `Vector`, and `semantics`, a `hal.Semantics`.

    Raises FormatError where a field is missing, unknown or does not fit the model.
    """
    fields = {"semantics", *(field.name for field in attrs.fields(Vector))} - {"name", "model"}
    problems = [
        Problem("no such field of a vector", key, limit=sorted(fields)) for key in sorted(about.keys() - fields)
    ]
    needed = ("semantics", "source", "stimulus", "duration_ns", "spikes")
    problems += [Problem("missing", key) for key in needed if key not in about]
    if problems:
        raise FormatError(f"the vector {name} cannot be written", problems=problems)
    given = [
        {key: np.asarray(records, EVENT) for key, records in about[kind].items()} for kind in ("stimulus", "spikes")
    ]
    _fitting(name, read_model(model, semantics=about["semantics"]), *given)
    meta = {
        "format": FORMAT,
        "source": about["source"],
        "semantics": about["semantics"].to_json(),
        "duration_ns": int(about["duration_ns"]),
        "options": dict(about.get("options", {})),
        "open_options": dict(about.get("open_options", {})),
        "window_ns": int(about.get("window_ns", 0)),
    }
    arrays = {
        f"{kind}/{key}": r for kind, part in zip(("stimulus", "spikes"), given, strict=True) for key, r in part.items()
    }
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, target / f"{name}.nir")
    everything: dict[str, Any] = {"meta": np.array(json.dumps(meta)), **arrays}
    np.savez_compressed(target / f"{name}.npz", **everything)
    return _read(target / f"{name}.npz")


def _read(path: Path) -> Vector:
    try:
        with np.load(path, allow_pickle=False) as data:
            meta = json.loads(str(data["meta"]))
            arrays = {key: data[key] for key in data.files if key != "meta"}
    except (OSError, ValueError, KeyError) as error:
        raise FormatError(f"{path.name} is no vector", problems=[Problem(str(error))]) from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise FormatError(f"{path.name} is no vector", limit=FORMAT)
    model = read_model(path.with_suffix(".nir"), semantics=Semantics.from_json(meta["semantics"]))
    stimulus, spikes = (_of(arrays, kind) for kind in ("stimulus", "spikes"))
    _fitting(path.stem, model, stimulus, spikes)
    return Vector(
        name=path.stem,
        source=meta["source"],
        model=model,
        stimulus=stimulus,
        duration_ns=meta["duration_ns"],
        spikes=spikes,
        options=meta["options"],
        open_options=meta["open_options"],
        window_ns=meta["window_ns"],
    )


def _of(arrays: Mapping[str, Any], kind: str) -> dict[str, Records]:
    return {key.partition("/")[2]: value for key, value in arrays.items() if key.startswith(f"{kind}/")}


def _fitting(name: str, model: Model, stimulus: Mapping[str, Records], spikes: Mapping[str, Records]) -> None:
    problems = list(_strangers(model, stimulus, spikes))
    if problems:
        raise FormatError(f"the vector {name} does not go with its model", problems=problems)


def _strangers(model: Model, stimulus: Mapping[str, Records], spikes: Mapping[str, Records]) -> Iterable[Problem]:
    """Names that the model lacks, and records of another form."""
    for key in sorted(stimulus.keys() - set(model.inputs)):
        yield Problem("no Input of the model", f"stimulus/{key}", limit=model.inputs)
    for key in sorted(spikes.keys() - set(model.nodes)):
        yield Problem("no node of the model", f"spikes/{key}")
    if not spikes:
        yield Problem("no spikes to compare with", "spikes")
    for kind, given in (("stimulus", stimulus), ("spikes", spikes)):
        for key, records in given.items():
            if records.dtype != EVENT:
                yield Problem("not event records", f"{kind}/{key}", value=records.dtype, limit=EVENT)
