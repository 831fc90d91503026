"""What a device says about itself, and its configuration classes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import numpy as np

import hal
from hal import registry
from hal.capabilities import VOCABULARY
from hal.config import MapOptions, OpenOptions, from_json, json_schema, problems, to_json
from hal.config import check as config_check
from hal.device import DeviceSpec
from hal.errors import ConfigError
from hal.fit import FitReport
from hal.mapping import BASE_COLUMNS, Losses, Placement
from hal.model import Model
from hal_conformance.context import Context
from hal_conformance.failure import demand
from hal_conformance.fields import at, bounds, faults, undocumented
from hal_conformance.raising import naming, raises
from hal_conformance.rulebook import check


@check("SPEC-001", level="bronze")
def check_spec(ctx: Context) -> None:
    """Given the spec, when it is read, then it is complete: summary, units, sources, known words, no doubles."""
    missing = [*_words(ctx.spec), *_resources(ctx.spec), *_columns(ctx.spec)]
    demand(not missing, f"{len(missing)} things are missing from the spec: {'; '.join(missing)}")


def _words(spec: DeviceSpec) -> Iterator[str]:
    if not spec.summary.strip() or "\n" in spec.summary:
        yield "summary is one line of text"
    unknown = sorted(spec.capabilities - VOCABULARY.keys())
    if unknown:
        yield f"capabilities not in the vocabulary: {', '.join(unknown)}"
    if not spec.kinds:
        yield "kinds: emulator, hardware or both"
    if spec.cores < 1:
        yield "cores: at least one"
    if spec.clock.quantum_in_ns < 1 or spec.clock.quantum_out_ns < 1:
        yield "clock: quanta are at least 1 ns"
    if spec.clock.free_running and "run.continue" in spec.capabilities:
        yield "a free-running clock contradicts run.continue"
    if ("profile" in spec.capabilities) != (spec.profile is not None):
        yield "the capability `profile` and a profile class go together"
    for name in spec.loads:
        try:
            registry.spec(name)
        except hal.PluginError:
            yield f"loads names {name!r}, which is no device"


def _resources(spec: DeviceSpec) -> Iterator[str]:
    for resource in spec.resources:
        where = f"resource {resource.name!r}"
        for field in ("unit", "scope", "source"):
            if not getattr(resource, field).strip():
                yield f"{where} has no {field}"
        if not resource.limit or min(resource.limit) < 0:
            yield f"{where} has the limit {resource.limit}"
    for name, n in Counter(resource.name for resource in spec.resources).items():
        if n > 1:
            yield f"resource {name!r} is there {n} times"


def _columns(spec: DeviceSpec) -> Iterator[str]:
    for observable in spec.observables:
        if not observable.unit.strip():
            yield f"observable {observable.variable!r} has no unit"
    if "spikes" not in {observable.variable for observable in spec.observables}:
        yield "spikes are not among the observables"
    for kind in ("placement_extras", "counters"):
        for column in getattr(spec, kind):
            for field in ("unit", "meaning"):
                if not getattr(column, field).strip():
                    yield f"{kind} {column.name!r} has no {field}"
    doubles = [column.name for column in spec.placement_extras if column.name in dict(BASE_COLUMNS)]
    doubles += [name for name, n in Counter(spec.all_counters).items() if n > 1]
    if doubles:
        yield f"names that the core has already: {', '.join(doubles)}"
    for port in spec.ports:
        if not port.name.startswith("@"):
            yield f"the chip's port {port.name!r} does not start with @"


def _classes(ctx: Context) -> dict[str, type]:
    spec = ctx.spec
    found = {"config": spec.config, "map_options": spec.map_options, "open_options": spec.open_options}
    return found if spec.profile is None else {**found, "profile": spec.profile}


@check("SPEC-002", level="bronze")
def check_documented(ctx: Context) -> None:
    """Given the configuration classes, when their fields are read, then each has a text that says what it is."""
    bases = {"map_options": MapOptions, "open_options": OpenOptions}
    for name, cls in _classes(ctx).items():
        demand(attrs.has(cls), f"{name} {cls.__name__} is no attrs class")
        demand(issubclass(cls, bases.get(name, object)), f"{name} is no subclass of {bases.get(name)}")
        bare = sorted(undocumented(cls))
        demand(not bare, f"fields without a text: {', '.join(bare)}")


@check("SPEC-003", level="bronze")
def check_schemas(ctx: Context) -> None:
    """Given the configuration classes, when JSON Schemas are made, then each describes every field and no other."""
    for name, cls in _classes(ctx).items():
        schema = json.loads(json.dumps(json_schema(cls), allow_nan=False))
        names = sorted(field.name for field in attrs.fields(cls) if field.init)
        demand(schema.get("type") == "object", f"{name}: the schema is of type {schema.get('type')!r}")
        demand(sorted(schema["properties"]) == names, f"{name}: the schema has {sorted(schema['properties'])}")
        demand(schema["additionalProperties"] is False, f"{name}: the schema allows unknown fields")
        bare = [field for field, said in schema["properties"].items() if not said.get("description")]
        demand(not bare, f"{name}: no description in the schema of {', '.join(bare)}")


@check("CONF-001", level="bronze")
def check_round_trip(ctx: Context) -> None:
    """Given a mapping's registers, when written as JSON and read back, then they are equal, arrays and all."""
    for config in (ctx.mapping().config, ctx.spec.map_options(), ctx.spec.open_options()):
        cls = type(config)
        wrong = problems(config)
        demand(not wrong, f"{cls.__name__} is not valid: {'; '.join(map(str, wrong))}")
        text = json.dumps(to_json(config))
        again = from_json(cls, json.loads(text))
        demand(again == config, f"{cls.__name__} read back from its JSON is not equal to what was written")
        demand(json.dumps(to_json(again)) == text, f"{cls.__name__} gives another JSON after a round trip")
    registers = type(ctx.mapping().config)
    demand(
        registers is ctx.spec.config, f"registers are {registers.__name__}, the spec says {ctx.spec.config.__name__}"
    )


@check("CONF-002", level="bronze")
def check_ranges(ctx: Context) -> None:
    """Given valid registers, when one field is put just beyond its range, then that is refused by its name."""
    tried = 0
    for config in (ctx.mapping().config, ctx.spec.map_options(), ctx.spec.open_options()):
        for path, make, what in faults(config):
            tried += 1
            _refused(type(config), path, make, what)
    ctx.measure("limits_tried", tried)


def _refused(cls: type, path: str, make: Callable[[], Any], what: str) -> None:
    """A broken configuration is refused when it is checked, and when it comes from JSON."""
    broken: list[Any] = []

    def checked() -> Any:
        broken.append(make())
        return config_check(broken[0])

    naming(raises(ConfigError, f"{cls.__name__}.{path} {what}", checked), path)
    if broken:
        told = f"{cls.__name__} read from JSON with {path} {what}"
        error = raises(ConfigError, told, lambda: from_json(cls, to_json(broken[0])))
        naming(error, path.rpartition(".")[2].partition("[")[0])


@check("CONF-004", level="bronze")
def check_bounds(ctx: Context) -> None:
    """Given valid registers, when one field is put at an end of its range, then that is taken, or another is named.

    What a single field may be is its range; what fields may be together is a rule that says so by naming more.
    """
    tried = kept = 0
    for config in (ctx.mapping().config, ctx.spec.map_options(), ctx.spec.open_options()):
        cls = type(config)
        names = {field.name for field in attrs.fields(cls)} | {path.rpartition(".")[2] for path, _, _ in bounds(config)}
        for path, make, what in bounds(config):
            tried += 1
            own = path.rpartition(".")[2].partition("[")[0]
            try:
                edited = config_check(make())
            except ConfigError as error:
                text = "\n".join(f"{problem.where} {problem}" for problem in error.problems)
                others = [name for name in names - {own} if name in text]
                demand(others, f"{cls.__name__}.{path} {what} is refused, and nothing else is named: {error}")
                continue
            kept += 1
            put, found = make.args[0], at(edited, path)
            demand(np.array_equal(found, put), f"{cls.__name__}.{path} {what} is taken as {found!r:.100}")
            demand(
                from_json(cls, json.loads(json.dumps(to_json(edited)))) == edited,
                f"{cls.__name__} with {path} {what} comes back from JSON as another",
            )
    ctx.measure("bounds_tried", tried)
    ctx.measure("kept", kept)


@check("CONF-003", level="bronze")
def check_saved(ctx: Context) -> None:
    """Given a mapping, when it is saved and read back, then nothing is lost: registers, places, fates, ports."""
    mapping = ctx.mapping()
    path = ctx.folder() / "mapping.zip"
    mapping.save(path)
    again = hal.read_mapping(path)
    for name in [field.name for field in attrs.fields(type(mapping))]:
        one, two = getattr(mapping, name), getattr(again, name)
        demand(_alike(one, two), f"{name} read back differs: {one!r:.300} was written, {two!r:.300} came back")
    demand(list(ctx.folder().iterdir()) == [path], f"save left other files: {sorted(ctx.folder().iterdir())}")


def _alike(one: Any, two: Any) -> bool:
    if isinstance(one, Model) and isinstance(two, Model):
        return one.fingerprint == two.fingerprint and one.semantics == two.semantics
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return np.array_equal(one, two) and np.asarray(one).dtype == np.asarray(two).dtype
    if isinstance(one, Mapping):
        return isinstance(two, Mapping) and list(one) == list(two) and all(_alike(one[key], two[key]) for key in one)
    if isinstance(one, Placement | Losses):
        return all(_alike(getattr(one, f.name), getattr(two, f.name)) for f in attrs.fields(type(one)))
    if isinstance(one, FitReport):
        # findings carry anything; what JSON keeps of them has to come back
        return bool(one.to_json() == two.to_json())
    return bool(one == two)
