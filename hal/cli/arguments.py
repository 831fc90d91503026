"""Text of the command line made into values: times, rates, KEY=VALUE pairs. Every fault says what would be right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

from hal.cli.failures import BadUsageError

TIME_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
}
RATE_UNITS: Final = {"hz": 1, "khz": 1_000, "mhz": 1_000_000, "ghz": 1_000_000_000}
_QUANTITY: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*([^\d\s.,]*)\s*")
_NEW_PAIR: Final = re.compile(r"[^={}\[\]\",]+=")


def time_ns(text: str, what: str, *, least: int = 0) -> int:
    """A time such as 1ms, 300us, 0.5s; a plain integer is ns. least: smallest value allowed."""
    match = _QUANTITY.fullmatch(text)
    if match is None or (match[2] and match[2] not in TIME_UNITS):
        raise BadUsageError(
            f"{what}: {text!r} is not a time", hint="a number and ns, us, ms, s or min: 1ms, 300us, 0.5s; or plain ns"
        )
    value = Fraction(match[1]) * TIME_UNITS[match[2] or "ns"]
    if value.denominator != 1:
        near = f"{round(value)} ns is the nearest"
        raise BadUsageError(f"{what}: {text} is no whole number of ns", hint=near if match[2] else "give a unit: 0.5ms")
    if not least <= value < 2**63:
        limit = f"at least {least} ns" if value < least else f"below 2**63 ns ({2**63 // 10**9} s)"
        raise BadUsageError(f"{what}: {text} is out of range; it is {limit}")
    return int(value)


def rate_hz(text: str, what: str) -> float:
    """A rate such as 20kHz; a plain number is Hz."""
    match = _QUANTITY.fullmatch(text)
    if match is None or (match[2] and match[2].lower() not in RATE_UNITS) or Fraction(match[1]) < 0:
        raise BadUsageError(f"{what}: {text!r} is not a rate", hint="a number >= 0 and Hz, kHz, MHz or GHz: 20kHz")
    return float(Fraction(match[1]) * RATE_UNITS[(match[2] or "Hz").lower()])


def words(given: Iterable[str]) -> list[str]:
    """Words given one by one or as comma lists, each once, in order."""
    return list(dict.fromkeys(word.strip() for item in given for word in item.split(",") if word.strip()))


def pairs(given: Iterable[str], option: str, example: str = "KEY=VALUE") -> dict[str, str]:
    """KEY=VALUE texts, one by one or as comma lists; a comma that no KEY= follows belongs to the value."""
    out: dict[str, str] = {}
    for text in given:
        pieces: list[str] = []
        for piece in text.split(","):
            if pieces and not _NEW_PAIR.match(piece):
                pieces[-1] += f",{piece}"
            else:
                pieces.append(piece)
        for piece in pieces:
            key, sign, value = piece.partition("=")
            key = key.strip()
            if not sign or not key:
                raise BadUsageError(f"{option}: {piece!r} is not of the form {example}")
            if key in out:
                raise BadUsageError(f"{option}: {key} is given twice", hint=f"first {out[key]!r}, then {value!r}")
            out[key] = value.strip()
    return out


def rates(given: Iterable[str]) -> dict[str, float]:
    """NODE=20kHz texts: events per second of whole nodes."""
    found = pairs(given, "--rate", "NODE=20kHz")
    return {node: rate_hz(text, f"--rate {node}") for node, text in found.items()}


def settings(given: Iterable[str], cls: type, option: str) -> dict[str, Any]:
    """KEY=VALUE texts as keywords for a config class: values are JSON where possible, else text.

    What the class declares decides the rest: a list may be written with commas, and KEY.NAME=VALUE sets one entry of
    a field that maps names. Unknown keys are left for the class to refuse, with the names it has.
    """
    from hal.config import json_schema

    schema: Mapping[str, Any] = json_schema(cls)
    out: dict[str, Any] = {}
    for key, text in pairs(given, option).items():
        _put(out, key, text, schema, option)
    return out


def _put(table: dict[str, Any], key: str, text: str, schema: Mapping[str, Any], option: str) -> None:
    """Set KEY, or entry NAME of KEY for KEY.NAME where the schema has a table there; names may hold dots themselves."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    field, dot, name = key.partition(".")
    inner = next((kind for kind in _kinds(properties.get(field, {})) if kind.get("type") == "object"), None)
    if key not in properties and dot and inner is not None:
        part = table.setdefault(field, {})
        if not isinstance(part, dict):
            raise BadUsageError(f"{option}: {field} is given as a whole and by entry")
        if "properties" in inner:
            _put(part, name, text, inner, option)
        else:
            part[name] = _value(text, inner.get("additionalProperties", {}))
    elif key in table:
        raise BadUsageError(f"{option}: {key} is given as a whole and by entry")
    else:
        table[key] = _value(text, properties.get(key, {}))


def _kinds(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schema and what it allows instead."""
    return [schema, *schema.get("anyOf", ())]


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    kinds = _kinds(schema)
    if any(text in kind.get("enum", ()) for kind in kinds):
        return text
    types = [kind.get("type") for kind in kinds]
    if "null" in types and text.lower() == "none":
        return None
    value = _json(text)
    array = next((kind for kind in kinds if kind.get("type") == "array"), None)
    number = isinstance(value, int | float) and ("number" in types or "integer" in types)
    if array is None or number or isinstance(value, dict) or (value is None and "null" in types):
        return _hashable(value)
    if not isinstance(value, list):
        value = [_json(part.strip()) for part in text.split(",") if part.strip()]
    items = _hashable(value)
    return frozenset(items) if array.get("uniqueItems") else items


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _hashable(value: Any) -> Any:
    """Config classes hold tuples where JSON has lists."""
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value
