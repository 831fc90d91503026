"""Device names: which there are, which plugin each belongs to, and opening one.

Listing reads metadata only. Opening a device imports the plugin that owns it and no other. What is refused because two
distributions claim one name can still be had as `name@distribution`. `hal.plugins` has the environment variables.
"""

from __future__ import annotations

import importlib
import operator
import threading
from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from hal.errors import CapabilityError, ConfigError, PluginError, Problem
from hal.plugins import (
    DEVICES,
    PLUGINS,
    Loader,
    Plugin,
    PluginRecord,
    arrange,
    entry_points,
    find,
    same_distribution,
)

if TYPE_CHECKING:
    from hal.device import Device, DeviceSpec
    from hal.mapper import Mapper


@attrs.frozen(kw_only=True)
class DeviceListing:
    """A device as metadata has it; nothing of its plugin was imported. family: empty when no plugin owns it."""

    name: str
    family: str
    distribution: str
    version: str


class Registry:
    """All plugins, loaded or not, and the device names that metadata gives them.

    plugins: in the order in which they take family names. listed: every entry of `hal.devices` with its owner.
    """

    def __init__(
        self,
        plugins: Iterable[Plugin],
        listed: Iterable[tuple[DeviceListing, Plugin | None]],
        loader: Loader | None = None,
    ) -> None:
        self.plugins = tuple(plugins)
        self.listed = tuple(sorted(listed, key=lambda row: (row[0].name, row[0].distribution)))
        self._loader = loader

    @classmethod
    def from_metadata(cls) -> Registry:
        """What is installed."""
        plugins = find()
        arrange(plugins)
        owners: dict[tuple[str, str], Plugin] = {}
        for plugin in plugins:
            owners.setdefault((plugin.record.distribution, plugin.record.entry), plugin)
        listed = []
        for entry, distribution, version in entry_points(DEVICES):
            owner = owners.get((distribution, entry.value))
            family = owner.record.family if owner else ""
            listed.append(
                (DeviceListing(name=entry.name, family=family, distribution=distribution, version=version), owner)
            )
        return cls(plugins, listed)

    @property
    def loader(self) -> Loader:
        """What imports and asks the plugins; made when first needed, since listing needs none."""
        with _lock:
            if self._loader is None:
                self._loader = Loader()
            return self._loader

    def devices(self) -> tuple[DeviceListing, ...]:
        """The devices in metadata, by name; without those of blocked plugins."""
        return tuple(listing for listing, owner in self.listed if not _blocked(owner))

    def load_all(self) -> None:
        """Load every plugin but those that are blocked or come second with a name."""
        for plugin in self.plugins:
            if plugin.record.state != "duplicate":
                self.loader.load(plugin)

    def resolve(self, name: str) -> tuple[Plugin, DeviceSpec]:
        """The plugin and spec of `name` or `name@distribution`: a listed name first, then what loaded plugins say.

        Raises PluginError: unknown, claimed twice, or its plugin is not loaded, with the reason.
        """
        if not isinstance(name, str):
            raise ConfigError(f"a device is named by a text, not {type(name).__name__}", value=repr(name))
        device, _, distribution = name.partition("@")
        claims = [
            (listing, owner)
            for listing, owner in self.listed
            if listing.name == device and _from(distribution, listing.distribution)
        ]
        if not claims:
            return self._by_spec(name, device, distribution)
        free = [claim for claim in claims if not _blocked(claim[1])]
        if len(free) > 1:
            raise _ambiguous(device, [f"{listing.distribution} {listing.version}" for listing, _ in free])
        listing, owner = (free or claims)[0]
        if owner is None:
            raise PluginError(
                f"{listing.distribution} lists the device {device!r} in {DEVICES}, but none of its entries in "
                f"{PLUGINS} gives the same module",
                hint="both entries name the module in the same words",
                distribution=listing.distribution,
            )
        return owner, self._spec_of(owner, device, asked=bool(distribution))

    def _spec_of(self, owner: Plugin, device: str, *, asked: bool) -> DeviceSpec:
        """asked: the distribution was named, which is how to have the second plugin of a family."""
        if owner.record.state != "duplicate" or asked:
            # in every other state, too: another thread may be at it, and load waits for it
            self.loader.load(owner)
        if owner.record.state != "loaded":
            raise owner.unusable(device)
        specs = [spec for spec in owner.specs if spec.name == device]
        if len(specs) != 1:
            raise PluginError(
                f"{owner.record} does not give the device {device!r} exactly once",
                problems=[Problem(text) for text in self.inconsistencies(owner)],
                distribution=owner.record.distribution,
            )
        return specs[0]

    def _by_spec(self, name: str, device: str, distribution: str) -> tuple[Plugin, DeviceSpec]:
        """A name that metadata does not have: an alias, or a device added since an editable install."""
        self.load_all()
        found = [
            (plugin, spec)
            for plugin in self.plugins
            if _from(distribution, plugin.record.distribution)
            for spec in plugin.specs
            if device in (spec.name, *spec.aliases)
        ]
        if len(found) > 1:
            raise _ambiguous(device, [f"{plugin.record.distribution} ({spec.name})" for plugin, spec in found])
        if not found:
            raise self._unknown(name, device)
        return found[0]

    def _unknown(self, name: str, device: str) -> PluginError:
        listed = sorted({listing.name for listing in self.devices()})
        said = {word for plugin in self.plugins for spec in plugin.specs for word in (spec.name, *spec.aliases)}
        near = get_close_matches(device.lower(), sorted(said.union(listed)), n=3)
        advice = f"did you mean {' or '.join(near)}? " if near else ""
        return PluginError(
            f"there is no device {name!r}",
            hint=f"{advice}devices: {', '.join(listed) or 'none; is a plugin installed?'}",
            problems=[
                Problem(f"{plugin.record.state} and could not be asked: {plugin.record.error}", str(plugin.record))
                for plugin in self.plugins
                if plugin.record.state != "loaded"
            ],
            near=tuple(near),
            devices=tuple(listed),
        )

    def inconsistencies(self, plugin: Plugin) -> list[str]:
        """How what a loaded plugin says departs from its metadata."""
        names = [spec.name for spec in plugin.specs]
        words = names + [alias for spec in plugin.specs for alias in spec.aliases]
        listed = [listing.name for listing, owner in self.listed if owner is plugin]
        others = {listing.name for listing, owner in self.listed if owner is not plugin}
        own, meta = set(names), set(listed)
        found = [f"{name} is listed in {DEVICES}, but hal_devices() does not give it" for name in sorted(meta - own)]
        found += [f"{name} is given by hal_devices(), but not listed in {DEVICES}" for name in sorted(own - meta)]
        found += [f"{name} is given more than once, as name or alias" for name, n in Counter(words).items() if n > 1]
        found += [f"{name} is listed more than once in {DEVICES}" for name, n in Counter(listed).items() if n > 1]
        found += [f"{name} is also a device of another plugin" for name in sorted(others.intersection(words))]
        family = plugin.record.family
        return found + [
            f"{spec.name} says it is of family {spec.family!r}, its plugin is {family!r}"
            for spec in plugin.specs
            if spec.family != family
        ]


def _blocked(plugin: Plugin | None) -> bool:
    return plugin is not None and plugin.record.state == "blocked"


def _from(wanted: str, distribution: str) -> bool:
    return not wanted or same_distribution(wanted, distribution)


def _ambiguous(device: str, claimants: list[str]) -> PluginError:
    return PluginError(
        f"the device name {device!r} is claimed by {' and by '.join(claimants)}",
        hint=f"say which one: {device}@DISTRIBUTION",
        claimants=tuple(claimants),
    )


# --- the one registry of this process -------------------------------------------------------------------------------

_current: Registry | None = None
_lock = threading.Lock()


def current() -> Registry:
    """The registry in use; metadata is read at the first call (10-25 ms) and kept."""
    global _current
    with _lock:
        if _current is None:
            _current = Registry.from_metadata()
        return _current


def use(registry: Registry | None) -> Registry | None:
    """Put another registry in place of the present one, which is returned; None: look again when next needed."""
    global _current
    with _lock:
        previous, _current = _current, registry
    return previous


def refresh() -> None:
    """Look for plugins again: something was installed, or repaired, or the environment changed."""
    importlib.invalidate_caches()
    use(None)


def devices() -> tuple[DeviceListing, ...]:
    """Every device there is, by name, from metadata alone: no plugin is imported."""
    return current().devices()


def records(load: bool = False) -> tuple[PluginRecord, ...]:
    """What is known of each plugin, by family and distribution; load: import them all first."""
    if load:
        current().load_all()
    return tuple(plugin.record for plugin in current().plugins)


def inconsistencies(record: PluginRecord) -> list[str]:
    """How the devices a plugin gives depart from what its metadata lists; loads it. Empty: they agree."""
    registry = current()
    for plugin in registry.plugins:
        known = plugin.record
        if (known.family, known.distribution, known.entry) == (record.family, record.distribution, record.entry):
            registry.loader.load(plugin)
            if plugin.record.state != "loaded":
                raise plugin.unusable()
            return registry.inconsistencies(plugin)
    raise PluginError(f"{record} is not in the registry", hint="call hal.registry.refresh() after installing")


def spec(name: str) -> DeviceSpec:
    """The spec of a device, by name, alias or name@distribution."""
    return current().resolve(name)[1]


def implements(name: str, hook: str) -> bool:
    """Whether the family of a device has a hook (`hal_export`, `hal_calibrate`, ...)."""
    registry = current()
    plugin, _ = registry.resolve(name)
    return registry.loader.implementation(plugin, hook) is not None


def call(name: str, hook: str, /, **arguments: Any) -> Any:
    """Ask the family of a device; `spec` is filled in. CapabilityError when it does not have the hook."""
    registry = current()
    plugin, device = registry.resolve(name)
    return registry.loader.call(plugin, hook, spec=device, **arguments)


def mapper(name: str, *, profile: Any = None) -> Mapper:
    """The mapper of a device. profile: one individual, an instance of `spec(name).profile` or a file of one."""
    from hal.mapper import Mapper

    registry = current()
    plugin, device = registry.resolve(name)
    profile = _read(device, profile)
    _raise(f"cannot make a mapper for {device.name}", _profile_problems(device, profile))
    made: Mapper = _expect(Mapper, registry, plugin, "hal_mapper", spec=device, profile=profile)
    return made


def open(  # noqa: A001
    name: str,
    *,
    kind: str = "emulator",
    serial: str | None = None,
    profile: Any = None,
    seed: int = 0,
    **open_options: Any,
) -> Device:
    """Open a device; use it as a context manager.

    Args:
        name: name, alias, or name@distribution; `hal.devices()` lists names.
        kind: "emulator", or "hardware" where the family drives it.
        serial: which individual chip; None: any.
        profile: what is known of that individual, an instance of `spec(name).profile` or a file of one.
        seed: of the noise of runs, an integer >= 0.
        open_options: fields of `spec(name).open_options`.

    Raises:
        PluginError: unknown or ambiguous name, or its plugin does not load.
        CapabilityError: the device does not come in that kind, or has no profiles.
        ConfigError: everything wrong with seed, serial, profile and options.
    """
    from hal.device import Device

    registry = current()
    plugin, device = registry.resolve(name)
    _check_kind(device, kind)
    profile = _read(device, profile)
    options, problems = _options(device, open_options)
    problems += _profile_problems(device, profile)
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or operator.index(seed) < 0:
        problems.append(Problem("not a seed", "seed", value=repr(seed), limit="an integer >= 0"))
    if serial is not None and not isinstance(serial, str):
        problems.append(Problem("not a serial", "serial", value=repr(serial), limit="a text or None"))
    elif serial is not None and kind == "emulator":
        problems.append(Problem("an emulator has no serial", "serial", value=serial, limit="None"))
    _raise(f"cannot open {device.name}", problems, hint=_valid(device) if options is None else "")
    arguments = {"kind": kind, "serial": serial, "profile": profile, "seed": operator.index(seed), "options": options}
    opened: Device = _expect(Device, registry, plugin, "hal_open", spec=device, **arguments)
    opened.plugin = f"{plugin.record.distribution} {plugin.record.version}"
    return opened


# --- checks ---------------------------------------------------------------------------------------------------------


def _check_kind(device: DeviceSpec, kind: str) -> None:
    if kind not in device.kinds:
        raise CapabilityError(
            f"{device.name} cannot be opened as {kind!r}",
            hint=f"kinds of {device.name}: {', '.join(device.kinds)}",
            capability=kind,
            device=device.name,
            kinds=device.kinds,
        )


def _options(device: DeviceSpec, given: dict[str, Any]) -> tuple[Any, list[Problem]]:
    from hal.config import build

    try:
        return build(device.open_options, given, f"options of {device.name}"), []
    except ConfigError as error:
        return None, list(error.problems) or [Problem(error.message)]


def _valid(device: DeviceSpec) -> str:
    names = [field.name for field in attrs.fields(device.open_options) if field.init]
    return f"options of {device.name}: {', '.join(names) or 'none'}"


def _read(device: DeviceSpec, profile: Any) -> Any:
    """A profile out of its file, where the name of one is given."""
    if not isinstance(profile, str | Path):
        return profile
    from hal.profiles import read_profile

    return read_profile(profile, device)


def _profile_problems(device: DeviceSpec, profile: Any) -> list[Problem]:
    from hal.capabilities import require
    from hal.config import problems

    if profile is None:
        return []
    require(device.capabilities, "profile", device.name, "profiles")
    if device.profile is None or not isinstance(profile, device.profile):
        wanted = "None" if device.profile is None else device.profile.__name__
        return [Problem("not a profile of this device", "profile", value=type(profile).__name__, limit=wanted)]
    return problems(profile, "profile")


def _raise(what: str, problems: list[Problem], hint: str = "") -> None:
    if problems:
        raise ConfigError(what, problems=problems, hint=hint)


def _expect(wanted: type, registry: Registry, plugin: Plugin, hook: str, /, **arguments: Any) -> Any:
    """Ask, and refuse an answer of another type here, where the plugin can still be named."""
    answer = registry.loader.call(plugin, hook, **arguments)
    if not isinstance(answer, wanted):
        raise plugin.fault(hook, f"returned {type(answer).__name__}, not a {wanted.__name__}")
    return answer
