"""Finding, importing, opening and closing."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from typing import Any, Final

import attrs

import hal
from hal import registry
from hal.config import problems
from hal.device import Device, Reset
from hal.errors import CapabilityError, ConfigError, StateError
from hal.plugins import DEVICES
from hal_conformance.context import Context
from hal_conformance.failure import demand, fail
from hal_conformance.raising import naming, raises
from hal_conformance.rulebook import check

IMPORT_S: Final = 3.0
"""Wall seconds importing a plugin may take beyond the core; ours take a tenth of one."""
CHILD_S: Final = 25.0
VENDORS: Final = (
    "samna", "sinabs", "torch", "tensorflow", "jax", "jaxsnn", "hxtorch", "pynn_brainscales", "pyNN", "nxsdk",
    "nxkernel", "lava", "nengo", "rockpool", "snntorch", "norse", "spikingjelly", "cupy",
)  # fmt: skip
"""Vendors' and training packages: imported, if at all, when hardware is opened."""

_CHILD: Final = """
import importlib, json, logging, sys, threading, time
import hal.device, hal.hookspecs
before, root = set(sys.modules), logging.getLogger()
handlers, level = list(root.handlers), root.level
start = time.perf_counter()
importlib.import_module(sys.argv[1])
seconds = time.perf_counter() - start
structlog = sys.modules.get("structlog")
seen = {
    "seconds": seconds,
    "modules": sorted({name.partition(".")[0] for name in set(sys.modules) - before}),
    "logging": root.handlers != handlers or root.level != level,
    "structlog": bool(structlog and structlog.is_configured()),
    "threads": threading.active_count(),
}
with open(sys.argv[2], "w") as file:
    json.dump(seen, file)
"""


@check("LOAD-001", level="bronze")
def check_metadata(ctx: Context) -> None:
    """Given the entry points, when the plugin is asked for its devices, then both give the same names, once each."""
    plugin, spec = registry.current().resolve(ctx.name)
    departs = registry.inconsistencies(plugin.record)
    demand(not departs, "; ".join(departs))
    listed = [listing.name for listing in hal.devices()]
    demand(spec.name in listed, f"{spec.name} is not in {DEVICES}, so that nobody sees it listed")


@check("LOAD-002", level="bronze")
def check_import(ctx: Context) -> None:
    """Given a new interpreter, when the plugin is imported, then that is quick, silent and changes nothing else."""
    plugin, _ = registry.current().resolve(ctx.name)
    module = plugin.record.entry.partition(":")[0]
    seen = _imported(ctx, module)
    vendors = sorted(set(seen["modules"]) & set(VENDORS))
    demand(not vendors, f"importing {module} imports {', '.join(vendors)}; that belongs into opening hardware")
    demand(not seen["logging"], f"importing {module} configures logging; that is the application's business")
    demand(not seen["structlog"], f"importing {module} configures structlog; that is the application's business")
    demand(seen["threads"] == 1, f"importing {module} leaves {seen['threads'] - 1} threads running")
    seconds = seen["seconds"]
    if seconds > IMPORT_S:
        # once more: the disk may have been cold, or the machine busy with something else
        seconds = min(seconds, _imported(ctx, module)["seconds"])
    ctx.measure("import_ms", round(1e3 * seconds, 1))
    demand(seconds <= IMPORT_S, f"importing {module} took {seconds:.1f} s, the limit is {IMPORT_S:g} s")


def _imported(ctx: Context, module: str) -> dict[str, Any]:
    """What a new interpreter sees when it imports the module; a failure when it cannot, or when that prints."""
    told = ctx.folder() / "import.json"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, module, str(told)],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=CHILD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        fail(f"importing {module} in a new interpreter did not end within {CHILD_S:g} s")
    demand(done.returncode == 0, f"{module} cannot be imported in a new interpreter: {done.stderr[-2000:]}")
    printed = (done.stdout + done.stderr).strip()
    demand(not printed, f"importing {module} printed: {printed[:500]}")
    seen: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
    return seen


@check("LOAD-003", level="bronze")
def check_options(ctx: Context) -> None:
    """Given the open options, when defaults or a misspelt name are used, then those open and this is named."""
    for cls in (ctx.spec.open_options, ctx.spec.map_options):
        faults = problems(cls())
        demand(not faults, f"the defaults of {cls.__name__} are not valid: {'; '.join(map(str, faults))}")
    ctx.open()
    ctx.open(**{field.name: getattr(ctx.spec.open_options(), field.name) for field in _fields(ctx.spec.open_options)})
    wrong = "no_such_option"
    for field in _fields(ctx.spec.open_options)[:1]:
        wrong = f"{field.name}_"
    error = raises(ConfigError, f"opening with the unknown option {wrong!r}", lambda: ctx.open(**{wrong: 0}))
    naming(error, wrong)
    for field in _fields(ctx.spec.open_options)[:1]:
        demand(repr(field.name) in str(error), f"the error for {wrong!r} does not say {field.name!r}: {error}")
    raises(CapabilityError, "opening as the kind 'no such kind'", lambda: ctx.open(kind="no such kind"))


def _fields(cls: type) -> list[Any]:
    return [field for field in attrs.fields(cls) if field.init]


@check("LOAD-004", level="bronze")
def check_closing(ctx: Context) -> None:
    """Given an open device, when it is closed, again and by `with`, then every method says that it is closed."""
    device = ctx.open()
    demand(device.state == "open", f"a device just opened is in state {device.state!r}")
    device.close()
    device.close()
    closed(ctx, device)
    with ctx.open() as other:
        demand(other.state == "open", f"within `with`, the device is in state {other.state!r}")
    closed(ctx, other)
    third = ctx.open()
    try:
        with third:
            raise KeyError("raised within the block")
    except KeyError:
        pass
    else:
        fail("`with` swallowed an exception raised within the block")
    closed(ctx, third)


def closed(ctx: Context, device: Device) -> None:
    """Fail unless every method of the device says that it is closed."""
    demand(device.state == "closed", f"a closed device is in state {device.state!r}")
    mapping: Any = None
    if not isinstance(ctx.subject.witness, str):
        mapping = ctx.mapping()
    calls: dict[str, Any] = {
        "load": lambda: device.load(mapping),
        "reset": lambda: device.reset(Reset.STATE),
        "run": lambda: device.run({}, 0),
        "run_batch": lambda: device.run_batch({}, 0),
        "with": device.__enter__,
        "mapping": lambda: device.mapping,
    }
    for name, call in calls.items():
        raises(StateError, f"{name} of a closed device", call)


@check("LOAD-005", level="bronze")
def check_quiet(ctx: Context) -> None:
    """Given an application's logging, when a device is opened and closed, then logging and threads are as before."""
    root = logging.getLogger()
    handlers, level, threads = list(root.handlers), root.level, set(threading.enumerate())
    device = ctx.open()
    demand(root.handlers == handlers and root.level == level, "opening the device configures logging")
    device.close()
    left = [thread.name for thread in threading.enumerate() if thread not in threads and not thread.daemon]
    demand(not left, f"after close, threads are still running: {', '.join(left)}")


@check("ERR-001", level="bronze")
def check_nothing_loaded(ctx: Context) -> None:
    """Given an open device with nothing loaded, when it is asked to run, then StateError says to load first."""
    device = ctx.open()
    for name, call in (
        ("run", lambda: device.run({}, 0)),
        ("run_batch", lambda: device.run_batch({}, 0)),
        ("mapping", lambda: device.mapping),
    ):
        error = raises(StateError, f"{name} with nothing loaded", call)
        demand("load" in str(error), f"the error of {name} does not say to load first: {error}")
    demand(device.state == "open", f"after being refused, the device is in state {device.state!r}")
