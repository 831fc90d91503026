"""The part of an exported script that is the same for every mapping; `samna_script` copies it into each.

It runs where samna is, without neurohal: standard library only, Python 3.8 and later.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import math
import struct
import sys
from typing import Any

CODES = {"int8": "b", "int16": "h", "bool": "?"}


def unpack(kind: str, shape: tuple[int, ...], packed: Any) -> list[Any]:
    """Nested lists of an array: packed is base64 of its values, little-endian, last axis fastest, or the one value."""
    count = math.prod(shape)
    if isinstance(packed, str):
        values = list(struct.unpack(f"<{count}{CODES[kind]}", base64.b64decode(packed)))
    else:
        values = [packed] * count
    for size in reversed(shape[1:]):
        values = [values[k : k + size] for k in range(0, len(values), size)]
    return values


def load_samna() -> Any:
    """The vendor's library. Raises ImportError, and does not import the placeholder, which starts an installer."""
    found = importlib.util.find_spec("samna")
    if found is None:
        raise ImportError("samna is not installed; the vendor serves it from an index of his own")
    if found.origin and found.origin.endswith(".py"):
        with open(found.origin, encoding="utf-8") as source:
            if "PYPI_SAMNA" in source.read():
                raise ImportError(f"{found.origin} is a placeholder that starts an installer, not samna; not imported")
    return importlib.import_module("samna")


def named(path: str) -> Any:
    """What samna has under a dotted name, samna first. Raises ImportError."""
    item = samna = load_samna()
    for name in path.split(".")[1:]:
        if not hasattr(item, name):
            raise ImportError(f"samna {getattr(samna, '__version__', 'of unknown version')} has no {path}")
        item = getattr(item, name)
    return item


def find(configuration: Any, path: str) -> Any:
    """The object at a path such as dvs_layer.destinations[0]."""
    for step in path.split("."):
        name, _, number = step.partition("[")
        configuration = getattr(configuration, name)
        if number:
            configuration = configuration[int(number.rstrip("]"))]
    return configuration


def same(there: Any, given: Any) -> bool:
    """Whether what the library holds is what it was given."""
    if isinstance(given, list):
        return len(there) == len(given) and all(map(same, there, given))
    return bool(there == given)


def assign(configuration: Any, registers: dict[str, dict[str, Any]]) -> list[str]:
    """Assign every field, in order, then read every one back. Returns what went wrong, a line each.

    registers: values by place, such as cnn_layers[0].destinations[1], and field, such as padding.x; arrays as the
    arguments of `unpack`.
    """
    values = {
        f"{place}.{field}": unpack(*value) if isinstance(value, tuple) else value
        for place, fields in registers.items()
        for field, value in fields.items()
    }
    problems = {path: put(configuration, path, value) for path, value in values.items()}
    for path, value in values.items():
        # a later field may have changed an earlier one, and what was written to may have been a copy
        if not problems[path] and not same(find(configuration, path), value):
            problems[path] = "was assigned and did not stay"
    return [f"{path}: {problem}" for path, problem in problems.items() if problem]


def put(configuration: Any, path: str, value: Any) -> str:
    """Assign one field. Returns what went wrong, or an empty text."""
    above, _, name = path.rpartition(".")
    try:
        owner = find(configuration, above)
        if not hasattr(owner, name):
            return "samna has no such field"
        setattr(owner, name, value)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def build(class_path: str, registers: dict[str, dict[str, Any]]) -> Any:
    """A new configuration with every register assigned. Raises ImportError, and ValueError with every problem."""
    configuration = named(class_path)()
    problems = assign(configuration, registers)
    if problems:
        raise ValueError("\n  ".join([f"{class_path} does not take this configuration:", *problems]))
    return configuration


def check(class_path: str, registers: dict[str, dict[str, Any]]) -> int:
    """Build the configuration and ask samna whether it is valid; the exit code: 0, or 1 with the reason on stderr."""
    try:
        configuration = build(class_path, registers)
        valid, message = named(".".join([*class_path.split(".")[:2], "validate_configuration"]))(configuration)
    except (ImportError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not valid:
        print(f"error: samna says that the configuration is not valid: {message}", file=sys.stderr)
        return 1
    print("valid by samna's own check; not verified on silicon")
    return 0
