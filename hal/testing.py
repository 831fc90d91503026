"""For the tests of plugin authors: a plugin in use without being installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hal import registry
from hal.plugins import Plugin, PluginRecord
from hal.registry import DeviceListing, Registry


@contextmanager
def registered(plugin: object, family: str, distribution: str = "test", version: str = "0") -> Iterator[PluginRecord]:
    """Register a plugin, loaded, for the length of a `with` block; yields its record, which says if it did not load.

    Its devices are listed and can be opened, as `name` or as `name@test`. The installed plugin of the same module
    steps aside meanwhile, so that the same test runs on a source tree and on an installed wheel. What was there before
    is restored on exit. The block may be entered within another.

    Args:
        plugin: a module, or any object that holds the hooks as attributes.
        family: its name in `hal.plugins`.
        distribution: the distribution it pretends to come from.
        version: of that distribution.
    """
    entry = getattr(plugin, "__name__", type(plugin).__name__)
    record = PluginRecord(family=family, distribution=distribution, version=version, entry=entry)
    added = Plugin(record=record, imports=lambda: plugin)
    before = registry.current()
    aside = [other for other in before.plugins if other.record.entry == entry]
    for other in aside:
        before.loader.unload(other)
    before.loader.load(added)
    own = [
        DeviceListing(name=spec.name, family=family, distribution=distribution, version=version) for spec in added.specs
    ]
    during = Registry(
        [*(other for other in before.plugins if other not in aside), added],
        [*(row for row in before.listed if row[1] not in aside), *((listing, added) for listing in own)],
        before.loader,
    )
    registry.use(during)
    try:
        yield added.record
    finally:
        before.loader.unload(added)
        registry.use(before)
