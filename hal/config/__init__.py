"""Configuration classes: one declaration of a field gives its check, its JSON form and its JSON Schema.

A config class is an attrs class whose fields are made with `setting` (a number, word, flag or nested class) or
`array` (a numpy array with dtype, shape and range). A plugin has four of them: `MapOptions`, `OpenOptions`, its
register `Config` and its `Profile`. Rules between fields go into a method `rules(self) -> Iterable[Problem]`.
"""

from __future__ import annotations

from hal.config.bases import MapOptions, OpenOptions, Profile, words
from hal.config.checks import build, check, problems
from hal.config.fields import FieldSpec, array, as_dtype, fields_of, setting
from hal.config.json import from_json, to_json, to_tree
from hal.config.schema import json_schema

__all__ = [
    "FieldSpec",
    "MapOptions",
    "OpenOptions",
    "Profile",
    "array",
    "as_dtype",
    "build",
    "check",
    "fields_of",
    "from_json",
    "json_schema",
    "problems",
    "setting",
    "to_json",
    "to_tree",
    "words",
]
