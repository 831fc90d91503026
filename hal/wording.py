"""Numbers, times and shapes in words, the same in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def number(value: float) -> str:
    """1,234,567; fractions to four digits."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def quantity(value: float, unit: str) -> str:
    """A number with a decimal prefix: 2.6 Msynop/s."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def duration(ns: int) -> str:
    """A time exactly, in the unit that keeps it short."""
    for factor, unit in ((10**9, "s"), (10**6, "ms"), (10**3, "us")):
        if ns >= factor and (ns * 1000) % factor == 0:
            return f"{ns / factor:,.10g} {unit}"
    return f"{ns:,} ns"


def seconds(value: float) -> str:
    """A measured wall time."""
    if value >= 100:
        return f"{value:.0f} s"
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def shape(of: Sequence[int]) -> str:
    """2 x 34 x 34."""
    return " x ".join(map(str, of)) or "1"


def spans(numbers: Iterable[int]) -> str:
    """0, 2-5, 7."""
    out: list[list[int]] = []
    for n in sorted(set(numbers)):
        if out and n == out[-1][1] + 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in out)
