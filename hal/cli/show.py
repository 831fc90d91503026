"""How things look: consoles, bars, tables, numbers. Colour says what the words say already; pipes get words alone."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hal.cli.failures import printable
from hal.wording import duration as duration
from hal.wording import number as number
from hal.wording import quantity as quantity
from hal.wording import seconds as seconds
from hal.wording import shape as shape
from hal.wording import spans as spans

PIPE_WIDTH: Final = 100
"""Columns where there is no terminal and COLUMNS says nothing."""
NEARLY_FULL: Final = 0.75
"""Share of a resource from which a bar is shown in another colour."""
BLOCKS: Final = " ▏▎▍▌▋▊▉█"

Cell = str | Text


def console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is: names from files are no markup."""
    file = sys.stderr if stderr else sys.stdout
    known = file.isatty() or "COLUMNS" in os.environ
    return Console(
        file=file,
        width=None if known else PIPE_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
        # a pipe that says nothing of its encoding can take UTF-8
        legacy_windows=False,
    )


def styled(text: str, style: str = "") -> Text:
    """Text in a style, control characters made visible."""
    return Text(printable(text), style)


def assemble(*parts: str | Text | tuple[str, str]) -> Text:
    """Text made of parts, each plain or with a style."""
    out = Text()
    for part in parts:
        out.append_text(part if isinstance(part, Text) else styled(*part) if isinstance(part, tuple) else styled(part))
    return out


class Page:
    """What a command prints on stdout: headings, tables, paragraphs, one blank line between."""

    def __init__(self) -> None:
        self.console = console()
        self._started = False

    @property
    def plain(self) -> bool:
        """Whether only ASCII can be shown."""
        return not (self.console.encoding or "utf-8").lower().startswith("utf")

    def heading(self, title: Cell, style: str = "bold") -> None:
        """A line that begins a section."""
        self.gap()
        self.line(title, style)

    def gap(self) -> None:
        """A blank line, unless nothing stands above it."""
        if self._started:
            self.console.print()

    def line(self, text: Cell, style: str = "", indent: int = 0) -> None:
        """A line; wrapped at words, never cut."""
        shown = text if isinstance(text, Text) else styled(text, style)
        shown = Text(" " * indent) + shown if indent else shown
        self._print(shown)

    def item(self, text: Cell, style: str = "", bullet: str = "-") -> None:
        """An entry of a list, wrapped under itself."""
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=len(bullet) + 1, justify="right")
        grid.add_column(overflow="fold")
        grid.add_row(bullet, text if isinstance(text, Text) else styled(text, style))
        self._print(grid)

    def verbatim(self, text: str) -> None:
        """A line that is not wrapped: a path, a command."""
        self.console.print(styled(text), soft_wrap=True)
        self._started = True

    def table(self, table: Table) -> None:
        """A table, without what is only padding at the end of its lines."""
        self._print(table)

    def _print(self, what: Any) -> None:
        with self.console.capture() as captured:
            self.console.print(what)
        for row in captured.get().splitlines():
            self.console.file.write(self._encodable(row.rstrip()) + "\n")
        self._started = True

    def _encodable(self, row: str) -> str:
        encoding = self.console.encoding or "utf-8"
        return row.encode(encoding, "replace").decode(encoding)

    def fitting(self, build: Callable[[int], Table]) -> None:
        """The fullest of a table's versions that fits the width. build: 0 has everything, 1 and 2 leave things out."""
        made = build(0)
        unbounded = self.console.options.update(max_width=100 * self.console.width)
        for level in (1, 2):
            if self.console.measure(made, options=unbounded).maximum <= self.console.width:
                break
            made = build(level)
        self._print(made)

    def bar(self, share: float, width: int, style: str | None = None) -> Text:
        """A bar of `share` of the width; over 1 it is full and red, as the number beside it says."""
        if width <= 0:
            return Text("")
        shown = min(max(share, 0.0), 1.0) if share == share else 0.0
        colour = style or ("red" if share > 1 else "yellow" if share > NEARLY_FULL else "green")
        if self.plain:
            full = max(round(shown * width), int(shown > 0))
            return Text("#" * full, colour) + Text("." * (width - full), "dim")
        eighths = max(round(shown * width * 8), int(shown > 0))
        blocks = "█" * (eighths // 8) + (BLOCKS[eighths % 8] if eighths % 8 else "")
        return Text(blocks, colour) + Text("·" * (width - len(blocks)), "dim")


def table(*columns: str, right: Iterable[str] = (), keep: Iterable[str] = ()) -> Table:
    """An open table. right: columns of numbers; keep: columns that are never wrapped."""
    right, keep = set(right), set(keep)
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), header_style="dim")
    for name in columns:
        made.add_column(
            name.strip(),
            justify="right" if name in right else "left",
            no_wrap=name in keep or name in right,
            overflow="fold",
        )
    return made


def add(to: Table, *cells: Cell | int | float) -> None:
    """A row of cells; numbers with separators."""
    to.add_row(*(cell if isinstance(cell, Text) else Text(cell_text(cell)) for cell in cells))


def cell_text(cell: str | int | float) -> str:
    """A cell as plain text."""
    return printable(cell) if isinstance(cell, str) else number(cell)


def plain(value: Any) -> Any:
    """What JSON can hold: arrays as lists, words for the rest."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value), key=str)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)


def print_json(document: Any) -> None:
    """The one JSON document of a command."""
    import json

    print(json.dumps(plain(document), allow_nan=False))
