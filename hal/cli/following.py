"""`hal watch`: a run that another process records, while it lasts."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.table import Table

from hal.cli import resolve
from hal.cli.failures import BadUsageError, BrokenOffError
from hal.cli.show import add, assemble, console, duration, quantity, seconds, table
from hal.cli.watching import counted
from hal.errors import HalError

if TYPE_CHECKING:
    from hal.store.following import Update


def watch(path: str, patience_s: float | None, *, as_json: bool) -> int:
    """Show what comes, until the run ends. In a pipe a line for each update, with --json a document per line."""
    from hal.store.following import Follower, follow

    source = resolve.existing(path, "RECORDING")
    if not source.is_dir() or not resolve.is_recording(source):
        raise BadUsageError(f"{path} is no recording", hint="the directory that `hal run ... --out DIR` writes")
    if patience_s is not None and not patience_s > 0:
        raise BadUsageError(f"--patience {patience_s:g}: wall seconds greater than 0")
    began = time.monotonic()
    header = Follower(source).header
    shown = console()
    last: Update | None = None
    live = Live(console=shown, auto_refresh=False) if shown.is_terminal and not as_json else None
    try:
        if live is not None:
            live.start()
        for update in follow(source, patience_s=patience_s):
            wall_s = time.monotonic() - began
            if as_json:
                print(json.dumps(_document(update, header.duration_ns)), flush=True)
            elif live is not None:
                live.update(_table(update, header.duration_ns, wall_s), refresh=True)
            else:
                print(_line(update, header.duration_ns), flush=True)
            last = update
    except KeyboardInterrupt:
        raise BrokenOffError("stopped watching; the run itself is not touched") from None
    finally:
        if live is not None:
            live.stop()
    if last is None or not last.finished:
        raise HalError(
            f"no news of {path} for {seconds(patience_s or 0)}: its run was killed, or is slow",
            hint="what there is reads back with hal.read_recording; watch again with a longer --patience",
        )
    return 0


def _line(update: Update, duration_ns: int) -> str:
    end = f", {update.status}" if update.finished else ""
    return f"{duration(update.t_ns)} of {duration(duration_ns)}: {counted(update.events)}{end}"


def _document(update: Update, duration_ns: int) -> dict[str, Any]:
    return {
        "t_ns": update.t_ns,
        "duration_ns": duration_ns,
        "events": update.events,
        "spikes": dict(update.counts),
        "finished": update.finished,
        "status": update.status if update.finished else "running",
    }


def _table(update: Update, duration_ns: int, wall_s: float) -> Table:
    out = table("node", "events", "rate", right=("events", "rate"))
    for node, count in update.counts.items():
        rate = quantity(count / (update.t_ns * 1e-9), "Hz") if update.t_ns else ""
        add(out, node, count, rate)
    out.caption = assemble(_line(update, duration_ns), f", watched for {seconds(wall_s)}")
    return out
