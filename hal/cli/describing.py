"""`hal info`: what a device can do, what it refuses, its limits and its options."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import attrs

from hal.capabilities import VOCABULARY
from hal.cli import resolve
from hal.cli.failures import BadUsageError
from hal.cli.show import Page, add, assemble, duration, number, plain, print_json, shape, styled, table
from hal.config import json_schema

if TYPE_CHECKING:
    from hal.config import MapOptions
    from hal.device import DeviceSpec
    from hal.fit import Observable

SCHEMAS: Final = ("map", "open", "config", "profile", "calibration")
MAX_LIMITS: Final = 12
"""Limits per place shown one by one."""


def info(name: str, schema: str | None, *, as_json: bool) -> int:
    """Describe a device, or print one JSON Schema of it."""
    spec = resolve.device(name)
    if schema is not None:
        print_json(json_schema(_class(spec, schema)))
        return 0
    if as_json:
        print_json(document(spec))
        return 0
    page = Page()
    _top(page, spec)
    _capabilities(page, spec)
    _resources(page, spec)
    _observables(page, spec)
    _options(
        page, f"Options of the mapper (--option KEY=VALUE of hal check, map, run --device {name})", spec.map_options
    )
    _approximations(page, spec.map_options)
    _options(page, "Options of the emulator (--open KEY=VALUE of hal run)", spec.open_options)
    if spec.calibration is not None:
        _options(page, f"Options of hal calibrate {name} (--KEY VALUE)", spec.calibration)
    return 0


def _class(spec: DeviceSpec, schema: str) -> type:
    if schema not in SCHEMAS:
        near = get_close_matches(schema, SCHEMAS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise BadUsageError(f"--schema {schema}: there is no such schema", hint=f"{hint}one of {', '.join(SCHEMAS)}")
    found: dict[str, type | None] = {"map": spec.map_options, "open": spec.open_options, "config": spec.config}
    found |= {"profile": spec.profile, "calibration": spec.calibration}
    made = found[schema]
    if made is None:
        lacks = "has no profiles" if schema == "profile" else "is not calibrated"
        raise BadUsageError(f"--schema {schema}: {spec.name} {lacks}", hint="one of map, open, config")
    return made


def document(spec: DeviceSpec) -> dict[str, Any]:
    """The device as a JSON object."""
    plain_fields = ("name", "family", "summary", "aliases", "kinds", "loads", "exports", "imports", "vendor", "cores")
    listed = ("resources", "observables", "ports", "placement_extras", "counters")
    out: dict[str, Any] = {name: plain(getattr(spec, name)) for name in plain_fields}
    out["clock"] = attrs.asdict(spec.clock)
    out["capabilities"] = sorted(spec.capabilities)
    out["refused"] = {word: VOCABULARY[word].forbids for word in VOCABULARY if word not in spec.capabilities}
    out |= {name: [attrs.asdict(item) for item in getattr(spec, name)] for name in listed}
    out["approximations"] = list(spec.map_options.approximations)
    out["map_options"] = json_schema(spec.map_options)
    out["open_options"] = json_schema(spec.open_options)
    return out


def _top(page: Page, spec: DeviceSpec) -> None:
    page.heading(assemble((spec.name, "bold"), (f"  family {spec.family}", "dim")))
    page.line(spec.summary)
    made = table("", "")
    made.show_header = False
    clock = spec.clock
    ticks = (
        f"{clock.kind}; events in on a grid of {duration(clock.quantum_in_ns)}, out {duration(clock.quantum_out_ns)}"
    )
    ticks += f", at most {duration(clock.max_run_ns)} a run" if clock.max_run_ns is not None else ""
    facts = {
        "aliases": ", ".join(spec.aliases),
        "kinds": ", ".join(spec.kinds),
        "clock": ticks + (", free running" if clock.free_running else ""),
        "cores": number(spec.cores),
        "ports": ", ".join(f"{port.name} ({shape(port.shape)}, {port.kind})" for port in spec.ports),
        "loads": ", ".join(spec.loads),
        "exports": ", ".join(spec.exports),
        "imports": ", ".join(spec.imports),
        "vendor's package": spec.vendor,
    }
    for fact, text in facts.items():
        if text:
            add(made, styled(fact, "dim"), text)
    page.table(made)


def _capabilities(page: Page, spec: DeviceSpec) -> None:
    made = table("capability", "", "", keep=("capability",))
    for word in VOCABULARY.values():
        if word.name in spec.capabilities:
            add(made, word.name, styled("yes", "green"), word.meaning)
    for word in VOCABULARY.values():
        if word.name not in spec.capabilities:
            add(made, word.name, styled("no", "yellow"), f"refused: {word.forbids}")
    page.heading("Capabilities")
    page.table(made)


def _resources(page: Page, spec: DeviceSpec) -> None:
    if not spec.resources:
        page.heading("Resources")
        page.line("no limits")
        return
    made = table("resource", "limit", "unit", "per", "", "source", keep=("resource",))
    for resource in spec.resources:
        when = styled("at run time" if resource.when == "run" else "", "dim")
        limits = styled(_limits(resource.limit))
        add(made, resource.name, limits, resource.unit, resource.scope, when, styled(resource.source, "dim"))
    page.heading("Resources")
    page.table(made)


def _limits(limits: tuple[float, ...]) -> str:
    """One number where all places are alike, else one for each, runs of equal ones together."""
    if len(set(limits)) == 1:
        return f"{number(limits[0])}" + (f" (x {len(limits)})" if len(limits) > 1 else "")
    runs: list[list[float]] = []
    for limit in limits:
        if runs and runs[-1][0] == limit:
            runs[-1][1] += 1
        else:
            runs.append([limit, 1])
    shown = [number(limit) + (f" (x {int(count)})" if count > 1 else "") for limit, count in runs[:MAX_LIMITS]]
    return ", ".join(shown) + (", ..." if len(runs) > MAX_LIMITS else "")


def _observables(page: Page, spec: DeviceSpec) -> None:
    made = table("recordable", "unit", "of", "at once", "when", "not together with")
    for seen in spec.observables:
        at_once = "all" if seen.at_once is None else f"{number(seen.at_once)} {seen.per}s per {seen.scope}"
        of = ", ".join(seen.types) or "all populations"
        add(made, seen.variable, seen.unit, of, at_once, _when(seen), ", ".join(seen.excludes))
    page.heading("Recording (--record)")
    page.table(made)
    for counter in spec.counters:
        page.line(f"counter {counter.name} ({counter.unit}): {counter.meaning}", "dim")


def _when(seen: Observable) -> str:
    if seen.variable == "spikes":
        return "as they happen"
    if seen.period_ns is None:
        return "at the end"
    period = f"n x {duration(seen.period_ns)}" if seen.period_ns else "n steps"
    return f"at the end, or every {period}"


def _options(page: Page, title: str, cls: type) -> None:
    properties: Mapping[str, Mapping[str, Any]] = json_schema(cls)["properties"]
    page.heading(title)
    if not properties:
        page.line("none")
        return
    made = table("key", "value", "default", "", keep=("key",))
    for field in attrs.fields(cls):
        if field.name in properties:
            schema = properties[field.name]
            about = styled(str(schema.get("description", "")))
            if source := schema.get("source"):
                about += styled(f"  [{source}]", "dim")
            add(made, field.name, _value(schema), _default(field.default), about)
    page.table(made)


def _approximations(page: Page, options: type[MapOptions]) -> None:
    page.line(f"words for --approximate: {', '.join(options.approximations) or 'none'}")


def _value(schema: Mapping[str, Any]) -> str:
    """What may be given, in words: type, range, unit."""
    kinds = schema.get("anyOf", [schema])
    unit = f" {schema['unit']}" if "unit" in schema else ""
    return " or ".join(_kind(kind) for kind in kinds) + unit


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    word = str(schema.get("type", "null"))
    if word == "array":
        inner = schema.get("items", {})
        return f"list of {_kind(inner)}" if inner else "list"
    if word == "object":
        inner = schema.get("additionalProperties")
        return f"NAME: {_kind(inner)}" if isinstance(inner, Mapping) else "object"
    low, high = schema.get("minimum"), schema.get("maximum")
    names = {"string": "text", "boolean": "true, false", "null": "null"}
    if low is None and high is None:
        return names.get(word, word)
    ends = (number(low) if low is not None else "", number(high) if high is not None else "")
    return f"{word} {ends[0]}..{ends[1]}"


def _default(default: Any) -> str:
    if default is attrs.NOTHING:
        return "required"
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return "{}" if default.factory is dict else "see schema"
    if isinstance(default, frozenset | tuple | list):
        return ", ".join(map(str, sorted(default, key=str) if isinstance(default, frozenset) else default)) or "none"
    return "null" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
