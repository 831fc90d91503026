"""Arrays inside a page: little-endian bytes, deflated, in base64; `page.js` reads them back."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

TYPES: Final = {"uint8": "u1", "uint16": "u2", "uint32": "u4", "float32": "f4", "float64": "f8"}
"""Types that a browser has arrays of, and their names in the page."""


def block(values: NDArray[Any]) -> dict[str, Any]:
    """An array of one of TYPES as JSON: type, length, bytes."""
    small = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    packed = base64.b64encode(zlib.compress(small.tobytes(), 6)).decode("ascii")
    return {"type": TYPES[values.dtype.name], "length": int(values.size), "data": packed}


def smallest(values: NDArray[Any]) -> NDArray[Any]:
    """Integers >= 0 in the smallest type that holds them; in float64 where none does."""
    top = int(values.max(initial=0))
    for name in ("uint8", "uint16", "uint32"):
        if top <= np.iinfo(name).max:
            return values.astype(name)
    return values.astype(np.float64)


def times(t: NDArray[np.int64]) -> dict[str, Any]:
    """Rising times as a block of their differences, from 0: small numbers pack well."""
    return block(smallest(np.diff(t, prepend=np.int64(0))))


def script(data: Any, name: str) -> str:
    """A script element that holds JSON and runs nothing, whatever the text in it."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    # "</script>" and "<!--" in a name would end the element
    return f'<script type="application/json" id="{name}">{text.replace("<", chr(92) + "u003c")}</script>'
