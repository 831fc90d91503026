"""What the user sees when something goes wrong. Imports neither numpy nor rich: it surrounds every command."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final, TextIO

import attrs

from hal.errors import DoesNotFitError, HalError

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130

MAX_WIDTH: Final = 120
"""Columns beyond which prose is not set, however wide the terminal."""


class BadUsageError(HalError):
    """The command line is wrong, or names something that does not exist."""


class BrokenOffError(HalError):
    """The user stopped a run."""


@contextlib.contextmanager
def usage() -> Iterator[None]:
    """Errors of ours raised within are faults of the command line."""
    try:
        yield
    except HalError as error:
        raise BadUsageError(error.message, hint=error.hint, problems=error.problems) from error


def guarded(job: Callable[[], int], *, as_json: bool, debug: bool) -> int:
    """Run a command; print whatever it raises, as text on stderr or as JSON on stdout, and return the exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # closed by whoever started us, as by a daemon: nothing is to be printed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            code = job()
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            # the reader went away (`| head`): not an error, and nothing more can be said to it
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, sys.stdout.fileno())
                os.close(nowhere)
            return FAILED
        except KeyboardInterrupt:
            return _report(BrokenOffError("interrupted; nothing was kept"), as_json, debug=False)
        except Exception as error:
            return _report(error, as_json, debug)


def exit_code(error: BaseException) -> int:
    """The exit code an error stands for."""
    if isinstance(error, BadUsageError):
        return USAGE
    return INTERRUPTED if isinstance(error, BrokenOffError) else FAILED


def _report(error: Exception, as_json: bool, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    shown = error if isinstance(error, HalError) else _unexpected(error)
    try:
        if as_json:
            print(json.dumps(to_json(shown, type(error).__name__), default=str, allow_nan=False), flush=True)
        else:
            say_error(shown)
    except OSError as refused:
        # stdout itself may be what failed
        with contextlib.suppress(OSError):
            say_error(HalError(f"{shown.message}; and it could not be printed: {refused.strerror}"))
    return exit_code(error)


def _unexpected(error: Exception) -> HalError:
    """An error that is not one of ours, as one of ours."""
    if isinstance(error, OSError):
        # a file system that refuses is no fault of the program
        where = f"{error.filename}: " if error.filename else ""
        return HalError(f"{where}{error.strerror or error}")
    if isinstance(error, MemoryError):
        return HalError("not enough memory", hint=str(error))
    text = " ".join(str(error).split())
    return HalError(f"{type(error).__name__}: {text}; this is a bug, run again with --debug")


def to_json(error: HalError, kind: str) -> dict[str, Any]:
    """An error as a JSON object."""
    # BadUsageError carries what was said first
    cause = error.__cause__ if isinstance(error, BadUsageError) and isinstance(error.__cause__, HalError) else None
    out: dict[str, Any] = {
        "error": kind if cause is None else type(cause).__name__,
        "message": error.message,
        "problems": [_plain(attrs.asdict(problem)) for problem in error.problems],
        "hint": error.hint,
    }
    if isinstance(error, DoesNotFitError):
        out["report"] = error.report.to_json()
    if "kept" in error.data:
        out["kept"] = str(error.data["kept"])
    return out


def _finite(value: Any) -> bool:
    """Whether JSON has a word for a number."""
    return isinstance(value, float) and math.isfinite(value)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value if value is None or isinstance(value, bool | int | str) or _finite(value) else str(value)
        for key, value in row.items()
    }


# --- text on stderr -------------------------------------------------------------------------------------------------


def say_error(error: HalError) -> None:
    """Message, problems as a list, hint."""
    say("error", error.message, "31")
    for problem in error.problems:
        _wrapped(str(problem), "  - ", "    ", sys.stderr)
    if error.hint:
        say("  hint", error.hint, "36")


def note(text: str) -> None:
    """Something the user should know although all is well."""
    say("note", text, "33")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    note(str(message))


def say(word: str, text: str, colour: str) -> None:
    """`word: text` on stderr, wrapped under itself; the word in colour on a terminal."""
    plain = f"{word}: "
    shown = f"\033[1;{colour}m{word}:\033[0m " if _colours(sys.stderr) else plain
    _wrapped(text, plain, "  " if not word.startswith(" ") else "    ", sys.stderr, shown)


def _wrapped(text: str, first: str, rest: str, file: TextIO, shown: str | None = None) -> None:
    """Print in the width of the terminal; in a pipe one line stays one line, for `grep`."""
    lines = printable(text).split("\n")
    if file.isatty():
        width = min(shutil.get_terminal_size((100, 24)).columns, MAX_WIDTH)
        lines = [
            part
            for k, line in enumerate(lines)
            for part in textwrap.wrap(
                line,
                width,
                initial_indent=rest if k else first,
                subsequent_indent=rest,
                break_long_words=False,
                break_on_hyphens=False,
            )
            or [first]
        ]
    else:
        lines = [(rest if k else first) + line for k, line in enumerate(lines)]
    if shown is not None:
        lines[0] = shown + lines[0].removeprefix(first)
    encoding = file.encoding or "utf-8"
    print("\n".join(lines).encode(encoding, "backslashreplace").decode(encoding), file=file)


def _colours(file: TextIO) -> bool:
    return file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """Control characters made visible: names come from files, and must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
