"""What a map or a run shows while it lasts, on stderr: progress on a terminal, a word where kernels are compiled."""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from hal.cli.failures import note, printable
from hal.cli.show import console, duration, number, seconds

PATIENCE_S: Final = 0.5
"""Wall seconds of a map or a run before it shows its progress."""
COMPILE_S: Final = 1.0
"""Wall seconds of compiling before it is said."""
POLL_S: Final = 0.1


@attrs.define
class Compiling:
    """How long kernels were compiled, in wall seconds."""

    seconds: float = 0.0


@contextlib.contextmanager
def compiling() -> Iterator[Compiling]:
    """Say so when kernels are compiled for more than a second; emulators compile theirs at the first run."""
    # numba announces what it compiles and stays silent where it finds the result on disk
    event: Any = importlib.import_module("numba.core.event")
    done = threading.Event()
    told = Compiling()
    with event.install_recorder("numba:compile") as recorder:
        watcher = threading.Thread(target=_watch, args=(recorder.buffer, done), daemon=True)
        watcher.start()
        try:
            yield told
        finally:
            done.set()
            watcher.join()
            told.seconds = _spent(recorder.buffer)


def _watch(buffer: list[Any], done: threading.Event) -> None:
    while not done.wait(POLL_S):
        began = _began(buffer)
        if began is not None and time.time() - began >= COMPILE_S:
            note("compiling kernels for the first run on this machine; they are kept for the next one ...")
            return


def _began(buffer: list[Any]) -> float | None:
    """When the compilation under way was begun; the recorder stamps with time.time()."""
    depth, began = 0, None
    for stamp, event in list(buffer):
        if event.is_start:
            began = stamp if depth == 0 else began
            depth += 1
        elif event.is_end:
            depth -= 1
    return began if depth > 0 else None


def _spent(buffer: list[Any]) -> float:
    """Seconds within outermost compilations."""
    depth, began, total = 0, 0.0, 0.0
    for stamp, event in buffer:
        if event.is_start:
            began = stamp if depth == 0 else began
            depth += 1
        elif event.is_end:
            depth -= 1
            total += stamp - began if depth == 0 else 0.0
    return total


@contextlib.contextmanager
def busy(text: str, *, quiet: bool) -> Iterator[None]:
    """A line with what is done and for how long, on a terminal, once it takes more than a moment. quiet: never."""
    shown = console(stderr=True)
    if quiet or not shown.is_terminal:
        yield
        return
    from rich import progress

    line = progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.TimeElapsedColumn(),
        console=shown,
        transient=True,
    )
    line.add_task(printable(text))
    timer = threading.Timer(PATIENCE_S, line.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        line.stop()


class Progress:
    """A hook for `Recorder.on_advance`: remembers how far a run has come, and shows it on a terminal.

    duration_ns: of the run. events: how many were recorded so far. quiet: show nothing. t_ns: model time reached.
    """

    def __init__(self, duration_ns: int, events: Callable[[], int], *, quiet: bool = False) -> None:
        self.duration_ns = duration_ns
        self.t_ns = 0
        self.events = events
        self._console = console(stderr=True)
        self._quiet = quiet or not self._console.is_terminal
        self._began = time.monotonic()
        self._bar: Any = None

    def __call__(self, t_ns: int) -> None:
        """Called with the model time reached."""
        self.t_ns = t_ns
        if self._quiet:
            return
        if self._bar is None and time.monotonic() - self._began >= PATIENCE_S and t_ns < self.duration_ns:
            self._open()
        if self._bar is not None:
            self._bar.update(self._task, completed=t_ns, done=self.done())

    def done(self) -> str:
        """Model time, events, and speed against real time, in words."""
        wall_s = max(time.monotonic() - self._began, 1e-9)
        speed = self.t_ns * 1e-9 / wall_s
        return (
            f"{duration(self.t_ns // 1000 * 1000)} of {duration(self.duration_ns)}, {counted(self.events())}, "
            f"{speed:.3g} x real time"
        )

    def _open(self) -> None:
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("running"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[done]}"),
            progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("run", total=self.duration_ns, done=self.done())

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def reached(self) -> str:
        """How far it came, in words."""
        wall = seconds(time.monotonic() - self._began)
        return f"{duration(self.t_ns)} of {duration(self.duration_ns)}, with {counted(self.events())}, after {wall}"


def counted(count: int) -> str:
    """1 event, 1,234 events."""
    return f"{number(count)} event{'' if count == 1 else 's'}"
