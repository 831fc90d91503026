"""neurohal: one way to open any neuromorphic chip.

The public names are imported when they are first used, so that `import hal` and listing devices cost next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    # one import for each row of the table below
    # isort: off
    from hal.comparing import compare as compare
    from hal.comparison import Comparison as Comparison
    from hal.differing import difference as difference
    from hal.device import Clock as Clock, Device as Device, DeviceSpec as DeviceSpec, Reset as Reset
    from hal.errors import (
        CapabilityError as CapabilityError,
        ConfigError as ConfigError,
        DeviceBusyError as DeviceBusyError,
        DeviceTimeoutError as DeviceTimeoutError,
        DoesNotFitError as DoesNotFitError,
        ExecutorError as ExecutorError,
        FormatError as FormatError,
        HalError as HalError,
        ModelError as ModelError,
        OptionalDependencyError as OptionalDependencyError,
        PluginError as PluginError,
        WriteError as WriteError,
        StateError as StateError,
    )
    from hal.events import (
        EVENT as EVENT,
        EventBatch as EventBatch,
        Port as Port,
        Probe as Probe,
        Signal as Signal,
        events as events,
        raster as raster,
    )
    from hal.exchange import export_recording as export_recording
    from hal.executing import sweep as sweep
    from hal.exporting import export as export
    from hal.fit import (
        Finding as Finding,
        FitReport as FitReport,
        FitRow as FitRow,
        Observable as Observable,
        Resource as Resource,
    )
    from hal.importing import import_mapping as import_mapping
    from hal.mapper import Mapper as Mapper, Plan as Plan
    from hal.mapping import (
        Fate as Fate,
        Losses as Losses,
        Mapping as Mapping,
        Placement as Placement,
        read_mapping as read_mapping,
    )
    from hal.model import (
        Model as Model,
        Projection as Projection,
        SemanticsWarning as SemanticsWarning,
        read_model as read_model,
    )
    from hal.profiles import calibrate as calibrate, read_profile as read_profile, save_profile as save_profile
    from hal.recorder import ArrowRecorder as ArrowRecorder, MemoryRecorder as MemoryRecorder, Recorder as Recorder
    from hal.recording import (
        BatchRecording as BatchRecording,
        Recording as Recording,
        read_recording as read_recording,
    )
    from hal.registry import devices as devices, mapper as mapper, open as open  # noqa: A004
    from hal.report import report as report
    from hal.samples import Samples as Samples
    from hal.semantics import Semantics as Semantics, read_semantics as read_semantics
    from hal.store.following import Follower as Follower, Update as Update, follow as follow
    from hal.stimulus import (
        EventFileWarning as EventFileWarning,
        from_xytp as from_xytp,
        read_events as read_events,
        read_stimulus as read_stimulus,
    )
    # isort: on

    __version__: str

_NAMES: Final = {
    "hal.comparing": ("compare",),
    "hal.comparison": ("Comparison",),
    "hal.differing": ("difference",),
    "hal.device": ("Clock", "Device", "DeviceSpec", "Reset"),
    "hal.errors": (
        "CapabilityError",
        "ConfigError",
        "DeviceBusyError",
        "DeviceTimeoutError",
        "DoesNotFitError",
        "ExecutorError",
        "FormatError",
        "HalError",
        "ModelError",
        "OptionalDependencyError",
        "PluginError",
        "WriteError",
        "StateError",
    ),
    "hal.events": ("EVENT", "EventBatch", "Port", "Probe", "Signal", "events", "raster"),
    "hal.exchange": ("export_recording",),
    "hal.executing": ("sweep",),
    "hal.exporting": ("export",),
    "hal.fit": ("Finding", "FitReport", "FitRow", "Observable", "Resource"),
    "hal.importing": ("import_mapping",),
    "hal.mapper": ("Mapper", "Plan"),
    "hal.mapping": ("Fate", "Losses", "Mapping", "Placement", "read_mapping"),
    "hal.model": ("Model", "Projection", "SemanticsWarning", "read_model"),
    "hal.profiles": ("calibrate", "read_profile", "save_profile"),
    "hal.recorder": ("ArrowRecorder", "MemoryRecorder", "Recorder"),
    "hal.recording": ("BatchRecording", "Recording", "read_recording"),
    "hal.registry": ("devices", "mapper", "open"),
    "hal.report": ("report",),
    "hal.samples": ("Samples",),
    "hal.semantics": ("Semantics", "read_semantics"),
    "hal.store.following": ("Follower", "Update", "follow"),
    "hal.stimulus": ("EventFileWarning", "from_xytp", "read_events", "read_stimulus"),
}
_HOME: Final = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives, once."""
    if name == "__version__":
        value: Any = _version()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_HOME, "__version__", *(name for name in globals() if name.startswith("__"))})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("neurohal")
    except PackageNotFoundError:
        # run from a source tree that was never installed
        return "0+unknown"


class _Package(ModuleType):
    """Keeps `hal.events` and `hal.mapper` the functions they are documented to be.

    Importing the submodule of the same name would otherwise put the module in the function's place, so that what the
    name means would depend on who imported what before. `from hal.events import EVENT` finds the module regardless.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
