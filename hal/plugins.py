"""Plugins, each on its own: found in metadata, imported when needed, asked one at a time.

A plugin that cannot be imported, misspells a hook or raises is recorded with the reason and harms nobody else. Read
from the environment, the first two when plugins are looked for, the others at every load and call:

    HAL_PLUGINS_ONLY, HAL_PLUGINS_BLOCK   comma lists of families, or family@distribution
    HAL_PLUGINS_STRICT=1                  a plugin that does not load raises instead of being recorded
    HAL_TRACE=1                           every load and hook call is logged at level debug by `hal.plugins`
"""

from __future__ import annotations

import inspect
import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from hal.errors import CapabilityError, ConfigError, HalError, PluginError

if TYPE_CHECKING:
    from hal.device import DeviceSpec

State = Literal["found", "loaded", "broken", "incompatible", "duplicate", "blocked"]
PLUGINS: Final = "hal.plugins"
DEVICES: Final = "hal.devices"


@attrs.frozen(kw_only=True)
class PluginRecord:
    """What is known of one plugin.

    state: found (not imported yet), loaded, broken (import, hooks or device list failed), incompatible (plugin API),
    duplicate (another distribution took the family's name), blocked (by the environment). error: why it is not
    loaded. traceback: of what it raised. load_ms: wall time of import and registration, None before.
    """

    family: str
    distribution: str
    version: str
    entry: str
    state: State = "found"
    error: str = ""
    traceback: str = ""
    load_ms: float | None = None

    def __str__(self) -> str:
        """Family, distribution and version."""
        return f"plugin {self.family!r} of {self.distribution} {self.version}"


@attrs.define(eq=False, kw_only=True)
class Plugin:
    """A plugin: its record, what imports it, and once it is loaded its devices."""

    record: PluginRecord
    imports: Callable[[], object]
    specs: tuple[DeviceSpec, ...] = ()

    @property
    def id(self) -> str:
        """family@distribution: its name towards pluggy."""
        return f"{self.record.family}@{self.record.distribution}"

    def note(self, state: State, error: str = "", trace: str = "") -> None:
        """Replace the record."""
        self.record = attrs.evolve(self.record, state=state, error=error, traceback=trace)

    def unusable(self, device: str = "") -> PluginError:
        """The error for somebody who needs this plugin, which is not loaded; device: the name asked for."""
        record = self.record
        first = f"the device {device!r} belongs to {record}, which" if device else str(record)
        hints = {
            "broken": "this concerns that plugin alone; hal.registry.records() has the traceback",
            "duplicate": f"say which one: {device or 'NAME'}@{record.distribution}, or uninstall one of the two",
        }
        return PluginError(
            f"{first} is {record.state}: {record.error}",
            hint=hints.get(record.state, ""),
            **attrs.asdict(record),
        )

    def fault(self, hook: str, what: str) -> PluginError:
        """The error for a hook that did what it must not; what: begins with a verb."""
        return PluginError(
            f"{hook}() of {self.record} {what}",
            hint="this is an error in that plugin",
            hook=hook,
            family=self.record.family,
            distribution=self.record.distribution,
        )


class _RefusedError(Exception):
    """The plugin could be imported, and does not pass; the text says why."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state: State = state


class Loader:
    """Loads plugins into one pluggy manager and asks them, so that what one of them does concerns only itself."""

    def __init__(self) -> None:
        # only here: listing devices needs neither pluggy nor numpy; and before any plugin, whose load time it is not
        from hal import device, hookspecs

        self._spec_class = device.DeviceSpec
        self._manager = hookspecs.manager()
        self._lock = threading.RLock()

    def load(self, plugin: Plugin) -> PluginRecord:
        """Import and register a plugin that is found or a duplicate; the record says what came of it.

        Raises only KeyboardInterrupt and, under HAL_PLUGINS_STRICT=1, PluginError.
        """
        with self._lock:
            if plugin.record.state not in ("found", "duplicate"):
                return plugin.record
            # noted before the import, so that one that hangs or ends the process is named
            plugin.note("broken", "its import was begun and has not come back")
            start = time.perf_counter()
            failure: BaseException | None = None
            try:
                self._register(plugin)
            except KeyboardInterrupt:
                self._forget(plugin)
                plugin.note("found", "its import was interrupted")
                raise
            except _RefusedError as error:
                failure = error
                plugin.note(error.state, str(error))
            except BaseException as error:  # SystemExit too: a plugin must not end the program
                failure = error
                plugin.note("broken", reason(error), "".join(traceback.format_exception(error)))
            load_ms = (time.perf_counter() - start) * 1e3
            plugin.record = attrs.evolve(plugin.record, load_ms=load_ms)
            _trace("plugin_loaded", plugin, state=plugin.record.state, reason=plugin.record.error, ms=load_ms)
            if failure is not None:
                self._forget(plugin)
                if os.environ.get("HAL_PLUGINS_STRICT") == "1":
                    raise plugin.unusable() from failure
            return plugin.record

    def _register(self, plugin: Plugin) -> None:
        from hal import hookspecs

        module = plugin.imports()
        if problem := hookspecs.api_problem(module):
            raise _RefusedError("incompatible", problem)
        if problems := hookspecs.hook_problems(module, self._manager):
            raise _RefusedError("broken", "\n".join(problems))
        self._manager.register(module, plugin.id)
        specs = self.call(plugin, "hal_devices")
        if not isinstance(specs, Sequence) or not all(isinstance(spec, self._spec_class) for spec in specs):
            raise _RefusedError("broken", f"hal_devices() returned {specs!r:.200}, not a sequence of DeviceSpec")
        plugin.specs = tuple(specs)
        plugin.note("loaded")

    def _forget(self, plugin: Plugin) -> None:
        """Some versions of pluggy leave a plugin that they refuse half registered, its first hooks live."""
        if self._manager.has_plugin(plugin.id):
            self._manager.unregister(name=plugin.id)

    def unload(self, plugin: Plugin) -> None:
        """Take a loaded plugin out again; it is found, and may be loaded again."""
        with self._lock:
            self._forget(plugin)
            plugin.specs = ()
            if plugin.record.state == "loaded":
                plugin.note("found")

    def implementation(self, plugin: Plugin, hook: str) -> Callable[..., Any] | None:
        """The plugin's own function for a hook, or None. ConfigError when there is no such hook."""
        from hal.hookspecs import no_hook

        if problem := no_hook(hook):
            raise ConfigError(problem, hook=hook)
        for found in getattr(self._manager.hook, hook).get_hookimpls():
            if found.plugin_name == plugin.id:
                function: Callable[..., Any] = found.function
                return function
        return None

    def call(self, plugin: Plugin, hook: str, /, **arguments: Any) -> Any:
        """Ask one plugin alone.

        Raises CapabilityError when it does not implement the hook, PluginError with its name when it raises; an error
        of ours (HalError) comes through as it is.
        """
        function = self.implementation(plugin, hook)
        if function is None:
            raise CapabilityError(f"{plugin.record} has no {hook}", capability=hook, family=plugin.record.family)
        named = inspect.signature(function).parameters
        start = time.perf_counter()
        outcome = "raised"
        try:
            answer = function(**{name: value for name, value in arguments.items() if name in named})
            outcome = "returned"
        except (KeyboardInterrupt, HalError):
            raise
        except BaseException as error:
            raise plugin.fault(hook, f"raised {reason(error)}") from error
        finally:
            ms = (time.perf_counter() - start) * 1e3
            _trace("hook_called", plugin, hook=hook, arguments=[*arguments], outcome=outcome, ms=ms)
        return answer


def reason(error: BaseException) -> str:
    """An exception in one line or a few."""
    return error.message if isinstance(error, PluginError) else f"{type(error).__name__}: {error}".removesuffix(": ")


def _trace(event: str, plugin: Plugin, **data: Any) -> None:
    """Through structlog into the standard logging tree, which the application configures, or not."""
    if os.environ.get("HAL_TRACE") == "1":
        import logging

        import structlog

        log = structlog.wrap_logger(logging.getLogger(__name__), processors=[structlog.stdlib.render_to_log_kwargs])
        log.debug(event, family=plugin.record.family, distribution=plugin.record.distribution, **data)


# --- looking for them -----------------------------------------------------------------------------------------------


def entry_points(group: str) -> Iterator[tuple[metadata.EntryPoint, str, str]]:
    """(entry, distribution, version) of a group, sorted: the order of the file system must decide nothing."""
    names: dict[int, tuple[str, str]] = {}

    def origin(entry: metadata.EntryPoint) -> tuple[str, str]:
        found = entry.dist
        if id(found) not in names:
            names[id(found)] = ("unknown", "unknown")
            # metadata may be damaged in any way; its entry points are still worth a record
            with suppress(Exception):
                if found is not None:
                    names[id(found)] = (str(found.metadata["Name"]), found.version)
        return names[id(found)]

    entries = [(entry, *origin(entry)) for entry in metadata.entry_points(group=group)]
    yield from sorted(entries, key=lambda row: (row[0].name, row[1], row[0].value))


def find() -> list[Plugin]:
    """Every installed plugin, none imported."""
    plugins: dict[tuple[str, str, str], Plugin] = {}
    for entry, distribution, version in entry_points(PLUGINS):
        record = PluginRecord(family=entry.name, distribution=distribution, version=version, entry=entry.value)
        plugins.setdefault((entry.name, distribution, entry.value), Plugin(record=record, imports=entry.load))
    return list(plugins.values())


def arrange(plugins: Iterable[Plugin]) -> None:
    """Say which plugins are blocked, and which come second with a family's name."""
    only, blocked = _families("HAL_PLUGINS_ONLY"), _families("HAL_PLUGINS_BLOCK")
    first: dict[str, Plugin] = {}
    for plugin in plugins:
        record = plugin.record
        if blocked & {record.family, plugin.id}:
            plugin.note("blocked", "HAL_PLUGINS_BLOCK names it")
        elif only and not only & {record.family, plugin.id}:
            plugin.note("blocked", "HAL_PLUGINS_ONLY does not name it")
        elif record.family in first:
            other = first[record.family].record
            plugin.note(
                "duplicate",
                f"family {record.family!r} is declared by two distributions: {other.distribution} {other.version} "
                f"({other.entry}) and {record.distribution} {record.version} ({record.entry}); the first has the name",
            )
        else:
            first[record.family] = plugin


def _families(variable: str) -> set[str]:
    return {word.strip() for word in os.environ.get(variable, "").split(",")} - {""}


def same_distribution(one: str, other: str) -> bool:
    """Names of distributions are compared as package indexes do: case, '-', '_' and '.' do not count."""
    one, other = (re.sub(r"[-_.]+", "-", name).lower() for name in (one, other))
    return one == other
