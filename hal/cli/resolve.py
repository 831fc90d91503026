"""From names on the command line to objects: device, semantics, model or mapping, options."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from hal.cli import arguments
from hal.cli.failures import BadUsageError, note, usage
from hal.errors import PluginError

if TYPE_CHECKING:
    from hal.config import MapOptions, Profile
    from hal.device import DeviceSpec
    from hal.events import Probe
    from hal.mapping import Mapping
    from hal.model import Model


@attrs.frozen(kw_only=True)
class ModelArguments:
    """What says which model, on what device, and how it is meant."""

    model: str
    device: str | None
    semantics: str | None = None
    dt: str | None = None
    option: Sequence[str] = ()
    approximate: Sequence[str] = ()
    drop_batch_axis: bool = False
    profile: str | None = None

    def given(self) -> list[str]:
        """The options that only a model can have."""
        said = {
            "--semantics": self.semantics,
            "--dt": self.dt,
            "--option": self.option,
            "--approximate": self.approximate,
            "--drop-batch-axis": self.drop_batch_axis,
        }
        return [name for name, value in said.items() if value]


def device(name: str | None) -> DeviceSpec:
    """The spec of a device. A name that does not exist, or not exactly once, is a fault of the command line."""
    from hal import registry

    if name is None:
        with usage():
            names = ", ".join(listing.name for listing in registry.devices())
            raise BadUsageError("which device? give --device NAME", hint=f"devices: {names}")
    try:
        return registry.spec(name)
    except PluginError as error:
        if "near" in error.data or "claimants" in error.data:
            raise BadUsageError(error.message, hint=error.hint, problems=error.problems) from error
        raise


def existing(path: str, what: str) -> Path:
    """A path that is there; else a fault that names files that are alike."""
    found = Path(path)
    if found.exists():
        return found
    if found.is_symlink():
        raise BadUsageError(f"{what}: {path} is a link to nothing", hint=f"it points to {os.readlink(found)}")
    try:
        near = get_close_matches(found.name, [other.name for other in found.parent.iterdir()], n=3)
    except OSError:
        raise BadUsageError(f"{what}: there is no {path}", hint=f"there is no directory {found.parent}") from None
    hint = f"did you mean {' or '.join(str(found.parent / other) for other in near)}?" if near else ""
    raise BadUsageError(f"{what}: there is no {path}", hint=hint)


def is_mapping(path: Path) -> bool:
    """Whether a file is a saved mapping (a zip); models are HDF5."""
    return path.is_file() and zipfile.is_zipfile(path)


def is_recording(path: Path) -> bool:
    """Whether a directory is a recording, or an HDF5 file one that was exported."""
    if path.is_dir():
        from hal.store.manifest import MANIFEST

        return (path / MANIFEST).exists() or any(path.rglob("*.arrows"))
    import h5py

    from hal.exchange.hdf5 import ABOUT

    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return ABOUT in file


def mapping_target(out: str) -> None:
    """Refuse a name under which no mapping can be written, or something else lies."""
    target = Path(out)
    if target.is_dir() or not target.parent.is_dir():
        what = "is a directory" if target.is_dir() else f"there is no directory {target.parent}"
        raise BadUsageError(f"--out {out}: {what}", hint="give the name of a file, such as net.mapping")
    if target.exists() and not is_mapping(target):
        hint = "only a saved mapping is replaced; give another name"
        raise BadUsageError(f"--out {out}: is there and is no saved mapping", hint=hint)


def model(given: ModelArguments) -> Model:
    """The model with its semantics; one note when nobody said them."""
    from hal.model import read_model
    from hal.semantics import PROFILES, Semantics, read_semantics

    path = existing(given.model, "MODEL")
    if is_mapping(path):
        raise BadUsageError(f"{path} is a saved mapping, not a model", hint="a saved mapping can be run: hal run")
    dt_ns = None if given.dt is None else arguments.time_ns(given.dt, "--dt", least=1)
    with usage():
        record = Semantics() if given.semantics is None else read_semantics(given.semantics)
    if dt_ns is not None:
        record = attrs.evolve(record, dt_ns=dt_ns)
    read = read_model(path, record, drop_batch_axis=given.drop_batch_axis)
    if given.semantics is not None:
        return read
    step = f"in steps of {given.dt}" if dt_ns else "and nobody says how long a step is (--dt)"
    note(
        "no semantics given: NIR leaves open how a model is executed. Profile 'nir' is assumed, forward Euler on NIR's "
        f"own equations with times in seconds, {step}. If a framework wrote this file, name it: "
        f"--semantics {', '.join(name for name in PROFILES if name != 'nir')}, or a JSON file"
    )
    return attrs.evolve(read, semantics_given=False)


def map_options(given: ModelArguments, spec: DeviceSpec) -> MapOptions:
    """The mapper's options, checked."""
    from hal.config import build

    values = arguments.settings(given.option, spec.map_options, "--option")
    allowed = arguments.words(given.approximate)
    if allowed:
        values["approximate"] = frozenset(values.get("approximate", ())) | frozenset(allowed)
    with usage():
        return build(spec.map_options, values, f"--option: the map options of {spec.name} are")


def profile(given: ModelArguments, spec: DeviceSpec) -> Profile | None:
    """The profile of an individual, if one is named."""
    from hal.profiles import read_profile

    if given.profile is None:
        return None
    path = existing(given.profile, "--profile")
    with usage():
        return read_profile(path, spec)


def open_options(given: Sequence[str], spec: DeviceSpec) -> dict[str, Any]:
    """Keywords for opening the device, checked."""
    from hal.config import build

    values = arguments.settings(given, spec.open_options, "--open")
    with usage():
        build(spec.open_options, values, f"--open: the options of {spec.name} are")
    return values


def mapping(path: Path, given: ModelArguments) -> Mapping:
    """A saved mapping. What was decided when it was made cannot be said again."""
    from hal.mapping import read_mapping

    if said := given.given():
        raise BadUsageError(
            f"{path} is a saved mapping: {', '.join(said)} was decided when it was made",
            hint="give the model, or leave these out",
        )
    return read_mapping(path)


def known_node(name: str, model: Model, option: str) -> None:
    """Refuse a name that no node of the model has."""
    if name not in model.nodes:
        near = get_close_matches(name, list(model.nodes), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"nodes: {', '.join(model.order())}"
        raise BadUsageError(f"{option}: the model has no node {name!r}", hint=hint)


def probes(given: Sequence[str], model: Model) -> list[Probe]:
    """NODE, NODE:VARIABLE or NODE:VARIABLE@PERIOD texts, or all (spiking populations) or none.

    A node whose name holds a colon, or is one of the two words, is found by its name.
    """
    from hal.events import Probe

    out = []
    for text in arguments.words(given):
        if text in ("all", "none") and text not in model.nodes:
            out += [Probe(node.name) for node in model.populations() if node.spiking and text == "all"]
            continue
        node, colon, rest = text.rpartition(":")
        if text in model.nodes or not colon:
            known_node(text, model, "--record")
            out.append(Probe(text))
            continue
        known_node(node, model, "--record")
        variable, at, period = rest.partition("@")
        every_ns = arguments.time_ns(period, f"--record {text}", least=1) if at else None
        out.append(Probe(node, variable, None, every_ns))
    return out
