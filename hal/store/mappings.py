"""How a mapping lies on disk: one zip of manifest.json and one .npy file per array."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping as MappingABC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import config, registry
from hal.errors import FormatError, HalError, Problem, WriteError
from hal.events import Port, Probe
from hal.fit import Finding, FitReport, FitRow
from hal.mapping import BASE_COLUMNS, LOSS, Fate, Losses, Mapping, Placement
from hal.model import Model

if TYPE_CHECKING:
    from hal.device import DeviceSpec

FORMAT: Final = "neurohal-mapping-1"

BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
)
"""What a file that is no mapping, or a damaged one, makes the libraries raise."""


EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""Time of every file in the zip: the same mapping makes the same bytes."""


def write(mapping: Mapping, path: Path, *, packed: bool = True) -> None:
    """Write to a file beside `path`, then put it in its place. packed: compressed. Raises WriteError."""
    path = path.resolve()  # through a link, to what it names
    if path.exists() and not path.is_file():
        raise WriteError(f"cannot write {path}: it is no ordinary file", file=str(path))
    arrays: dict[str, NDArray[Any]] = {}
    manifest = _manifest(mapping, arrays)
    partial = path.with_name(path.name + ".partial")
    try:
        method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        with zipfile.ZipFile(partial, "w") as archive:
            text = json.dumps(manifest, default=_plain).encode()
            archive.writestr(zipfile.ZipInfo("manifest.json", EPOCH), text, method)
            for name, values in arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, values, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), buffer.getbuffer(), method)
        partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise WriteError(f"cannot write {path}: {error.strerror or error}", file=str(path)) from error
        raise


def read(path: Path, spec: DeviceSpec | None) -> Mapping:
    """See `hal.read_mapping`."""
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read("manifest.json"))
            if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
                found = manifest.get("format") if isinstance(manifest, dict) else manifest
                raise FormatError(f"{path} is not a mapping of this version", value=found, limit=FORMAT)
            arrays = {
                name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
                if name.endswith(".npy")
            }
        return _mapping(manifest, arrays, spec or registry.spec(manifest["device"]))
    except HalError:
        raise
    except BROKEN as error:
        raise FormatError(
            f"{path} is not a saved mapping, or damaged",
            problems=[Problem(f"{type(error).__name__}: {error}")],
            hint="make one with Mapping.save or `hal map MODEL --device NAME --out FILE`",
        ) from error


def _manifest(mapping: Mapping, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    models = {
        "model": mapping.model,
        "front": mapping.front,
        "on_chip": None if mapping.on_chip is mapping.model else mapping.on_chip,
        "back": mapping.back,
    }
    losses = mapping.losses
    return {
        "format": FORMAT,
        "device": mapping.device,
        "config": _pack(config.to_tree(mapping.config), arrays),
        "placement": _pack([mapping.placement.nodes, mapping.placement.rows], arrays),
        "fit": mapping.fit.to_json(),
        "inputs": [attrs.asdict(port) for port in mapping.inputs],
        "outputs": [attrs.asdict(port) for port in mapping.outputs],
        "fates": [attrs.asdict(fate) for fate in mapping.fates],
        "losses": _pack([losses.nodes, losses.parameters, losses.reasons, losses.rows], arrays),
        "realised": [[node, name, _pack(values, arrays)] for (node, name), values in mapping.realised.items()],
        "record": [attrs.asdict(probe) for probe in mapping.record],
        "step_ns": mapping.step_ns,
        "speedup": mapping.speedup,
        "latency_ns": dict(mapping.latency_ns),
        "profile_id": mapping.profile_id,
        "options": dict(mapping.options),
        **{key: None if model is None else _pack(list(model.flat()), arrays) for key, model in models.items()},
    }


def _mapping(manifest: dict[str, Any], arrays: dict[str, NDArray[Any]], spec: DeviceSpec) -> Mapping:
    def ports(key: str) -> tuple[Port, ...]:
        return tuple(Port(p["name"], tuple(p["shape"]), p["kind"]) for p in manifest[key])

    def model(key: str) -> Model | None:
        return None if manifest[key] is None else Model.unflat(*_unpack(manifest[key], arrays))

    nodes, rows = _unpack(manifest["placement"], arrays)
    *words, lost = _unpack(manifest["losses"], arrays)
    columns = np.dtype(BASE_COLUMNS + [(column.name, "<i8") for column in spec.placement_extras])
    for what, table, dtype in (("placement", rows, columns), ("losses", lost, LOSS)):
        if getattr(table, "dtype", None) != dtype:
            raise FormatError(
                f"the {what} of the mapping has other columns than {spec.name} declares", limit=str(dtype)
            )
    fit = manifest["fit"]
    return Mapping(
        device=manifest["device"],
        model=model("model"),
        config=config.from_json(spec.config, _unpack(manifest["config"], arrays)),
        placement=Placement(tuple(nodes), rows),
        fates=tuple(Fate(**fate) for fate in manifest["fates"]),
        fit=FitReport(
            device=fit["device"],
            rows=tuple(FitRow(**{key: value for key, value in row.items() if key != "ok"}) for row in fit["rows"]),
            findings=tuple(Finding(**finding) for finding in fit["findings"]),
        ),
        losses=Losses(tuple(words[0]), tuple(words[1]), tuple(words[2]), lost),
        realised={(node, name): _unpack(values, arrays) for node, name, values in manifest["realised"]},
        inputs=ports("inputs"),
        outputs=ports("outputs"),
        record=tuple(Probe(**data) for data in manifest["record"]),
        step_ns=manifest["step_ns"],
        speedup=manifest["speedup"],
        latency_ns=manifest["latency_ns"],
        front=model("front"),
        on_chip=model("on_chip"),
        back=model("back"),
        profile_id=manifest["profile_id"],
        options=manifest["options"],
    )


def _pack(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Nested data with every array moved to `arrays` and replaced by a reference."""
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays):05d}"
        arrays[name] = value
        return {"$array": name}
    if isinstance(value, MappingABC):
        return {str(key): _pack(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(item, arrays) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(value)
    return value.item() if isinstance(value, np.generic) else value


def _plain(value: Any) -> Any:
    """What a plugin gave as numpy numbers."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be saved")


def _unpack(value: Any, arrays: MappingABC[str, NDArray[Any]]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$array"}:
            return arrays[value["$array"]]
        return {key: _unpack(item, arrays) for key, item in value.items()}
    return [_unpack(item, arrays) for item in value] if isinstance(value, list) else value
