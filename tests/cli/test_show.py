from __future__ import annotations

import io

import pytest
from rich.console import Console

from hal.cli import show


def page(encoding: str) -> show.Page:
    made = show.Page()
    made.console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding), width=60)
    return made


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "····"), (0.25, "█···"), (0.5, "██··"), (0.001, "▏···"), (1, "████"), (9, "████"), (0.3, "█▎··")],
)
def test_bars(share: float, text: str) -> None:
    assert page("utf-8").bar(share, 4).plain == text


@pytest.mark.parametrize(("share", "text"), [(0, "...."), (0.5, "##.."), (0.001, "#..."), (2, "####")])
def test_bars_where_only_ascii_can_be_shown(share: float, text: str) -> None:
    assert page("ascii").bar(share, 4).plain == text


def test_colours_say_how_full() -> None:
    marked = [page("utf-8").bar(share, 4).markup for share in (0.5, 0.9, 1.0, 1.1)]
    styles = [next(word for word in ("green", "yellow", "red") if f"[{word}]" in text) for text in marked]
    assert styles == ["green", "yellow", "yellow", "red"]


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (300_000_000, "300 ms"),
        (301_000_000, "301 ms"),
        (2_500_000, "2.5 ms"),
        (1_000, "1 us"),
        (1_500, "1.5 us"),
        (1_000_000_000, "1 s"),
        (1_234_567, "1,234.567 us"),
        (12, "12 ns"),
        (4_500_000_000, "4.5 s"),
    ],
)
def test_durations_are_exact(ns: int, text: str) -> None:
    assert show.duration(ns) == text


def test_numbers() -> None:
    assert show.number(1234567) == "1,234,567"
    assert show.number(16384.0) == "16,384"
    assert show.number(1.6666) == "1.667"
    assert show.number(12345.678) == "12,346"
    assert show.quantity(2.6e6, "synops/s") == "2.6 Msynops/s"
    assert show.quantity(12, "Hz") == "12 Hz"
    assert show.seconds(0.0213) == "21.3 ms"
    assert show.seconds(2.5) == "2.5 s"
    assert show.seconds(1234.5) == "1234 s"
    assert show.shape((2, 34, 34)) == "2 x 34 x 34"
    assert show.shape(()) == "1"


def test_spans() -> None:
    assert show.spans([3, 1, 2, 7]) == "1-3, 7"
    assert show.spans([]) == ""
    assert show.spans([4]) == "4"


def test_markup_in_text_is_text() -> None:
    made = page("utf-8")
    made.line("[bold]x[/bold]")
    made.item("[red]y")
    table = show.table("a")
    show.add(table, "[green]z[/green]")
    made.table(table)
    made.console.file.flush()
    text = made.console.file.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert "[bold]x[/bold]" in text
    assert "[red]y" in text
    assert "[green]z[/green]" in text


def test_what_json_can_hold() -> None:
    import numpy as np

    given = {"a": np.arange(2), 3: {"y", "x"}, "t": (1, np.float64(2.0)), "o": object}
    assert show.plain(given) == {"a": [0, 1], "3": ["x", "y"], "t": [1, 2.0], "o": "<class 'object'>"}


def test_the_fullest_version_of_a_table_that_fits() -> None:
    made = page("utf-8")

    def build(level: int) -> show.Table:
        table = show.table("x")
        show.add(table, ("wide" * 30, "middle" * 9, "small")[level])
        return table

    made.fitting(build)
    made.console.file.flush()
    assert made.console.file.buffer.getvalue().decode().splitlines()[-1] == "middle" * 9  # type: ignore[attr-defined]
