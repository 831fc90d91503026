"""Follows a recording while another process writes it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from hal.errors import ConfigError, FormatError
from hal.events import EVENT, Records, Signal
from hal.fit import Finding
from hal.paths import as_path
from hal.store import arrow
from hal.store.manifest import Key, Manifest, RunHeader, Status, read_manifest
from hal.store.readback import guarded

POLL_S: Final = 0.1
"""Wall seconds between two looks at the disk."""


@attrs.frozen(kw_only=True, eq=False)
class Update:
    """What came since the update before.

    Attributes:
        spikes: node -> new events, in order of emission; signals and traces likewise. Only what has news is there.
        counts: node -> events so far. t_ns: the latest time in any column so far, 0 before the first.
        finished: the run has ended, and this is its last update. status: how, or "interrupted" until then.
        diagnostics: what the run had to say so far.
    """

    spikes: Mapping[str, Records]
    signals: Mapping[str, Signal]
    traces: Mapping[Key, Signal]
    counts: Mapping[str, int]
    t_ns: int
    finished: bool
    status: Status
    diagnostics: tuple[Finding, ...] = ()

    @property
    def events(self) -> int:
        """All events so far."""
        return sum(self.counts.values())

    @property
    def news(self) -> bool:
        """Whether anything came."""
        return bool(self.spikes or self.signals or self.traces)


class Follower:
    """A recording that grows. `poll` gives what is new; it never waits.

    Everything the writer has flushed is given exactly once, nothing else. A run that is killed never finishes: how long
    to wait for news is the caller's matter.

    Raises FormatError where there is no recording.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = as_path(path, "Follower")
        self._manifest: Manifest = guarded(partial(read_manifest, self.path), self.path)[0]
        if any(not entry.file.endswith(".arrows") for entry in self._manifest.streams):
            hint = "hal.read_recording reads it"
            raise FormatError(f"{self.path} is an export, which does not grow", hint=hint, path=str(self.path))
        self._tails = {
            (entry.group, *entry.key): arrow.Tail(self.path / entry.file)
            for entry in self._manifest.streams
            if entry.group in ("spikes", "signals", "traces")
        }
        self._counts = dict.fromkeys(self.header.nodes, 0)
        self._t_ns = 0

    @property
    def header(self) -> RunHeader:
        """What was known before the run."""
        return self._manifest.header

    def poll(self) -> Update:
        """Everything that was flushed since the last call."""
        # the manifest first: what it calls finished is on disk
        self._manifest = guarded(partial(read_manifest, self.path), self.path)[0]
        found: dict[str, dict[Any, Any]] = {"spikes": {}, "signals": {}, "traces": {}}
        for (group, node, variable), tail in self._tails.items():
            if batches := list(tail.new()):
                columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
                found[group][(node, variable) if group == "traces" else node] = self._taken(group, node, columns)
        return Update(
            **found,
            counts=dict(self._counts),
            t_ns=self._t_ns,
            finished=self._manifest.finished,
            status=self._manifest.status,
            diagnostics=self._manifest.diagnostics,
        )

    def _taken(self, group: str, node: str, columns: arrow.Columns) -> Records | Signal:
        self._t_ns = max(self._t_ns, int(columns["t"].max()))
        if group != "spikes":
            return Signal(columns["t"], columns["values"])
        self._counts[node] += len(columns["t"])
        out = np.empty(len(columns["t"]), EVENT)
        out["t"], out["index"] = columns["t"], columns["index"]
        return out


def follow(path: str | Path, *, patience_s: float | None = None, poll_s: float = POLL_S) -> Iterator[Update]:
    """Updates of a recording that another process is writing, until its run ends; only those with news, and the last.

    Args:
        path: directory of the recording; it must be there.
        patience_s: wall seconds without news after which to stop: the writer may have been killed. The last update then
            is not `finished`. None: wait for ever.
        poll_s: wall seconds between two looks.

    Raises:
        FormatError: there is no recording.
    """
    for name, value in (("patience_s", patience_s), ("poll_s", poll_s)):
        if value is not None and not value > 0:
            raise ConfigError(f"{name} is a number of wall seconds greater than 0", value=value)
    return _updates(Follower(path), patience_s, poll_s)


def _updates(follower: Follower, patience_s: float | None, poll_s: float) -> Iterator[Update]:
    heard = time.monotonic()
    while True:
        update = follower.poll()
        out_of_patience = patience_s is not None and time.monotonic() - heard > patience_s
        if update.news or update.finished or out_of_patience:
            heard = time.monotonic()
            yield update
        if update.finished or (out_of_patience and not update.news):
            return
        time.sleep(poll_s)
