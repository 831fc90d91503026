"""What the compiled loops of the DynapCNN emulator keep per core, link and run: records in flat arrays."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

__all__ = ["CELL", "CLOCK", "CORE", "LINK", "PROGRESS", "STALL", "Stop"]

CORE = np.dtype(
    [
        ("width", "<i8"),  # columns of the output map
        ("features", "<i8"),
        ("neurons", "<i8"),
        ("state", "<i8"),  # start of this core's block in the state array
        ("weights", "<i8"),  # start in the weight array
        (
            "targets",
            "<i8",
        ),  # start in the table "position in a run -> flat output index of that neuron in row 0, column 0"
        ("bias", "<i8"),  # start in the bias array
        ("channel_step", "<i8"),  # weights per input channel
        ("row_step", "<i8"),  # weights per kernel row
        ("threshold_high", "<i2"),
        ("threshold_low", "<i2"),
        ("keep", "<i2"),  # and-mask of the state after a spike: -1 keeps v - threshold, 0 returns to zero
        ("leak", "<i2"),  # 0: ticks do not act on this core; 1: those of the outer clock do, 2: of the inner one
    ],
    align=True,
)
"""What the kernels need to know of one core; one record per core."""

LINK = np.dtype(
    [("plane", "<u4"), ("width", "<u4"), *[(name, "<i8") for name in ("rows", "columns", "core", "shift")]], align=True
)
"""How the events of one source reach core `core`; `shift` is added to the channel.

`plane` and `width` split a flat source index (c*H + y)*W + x; `rows` and `columns` are starts in the reach table, which
holds for every source row (column) the first output row (column) reached, how many, and the stored position of the
first kernel row (column). The source's pooling is part of the table. A count of -1 marks what pooling drops.
"""

CELL = np.dtype(
    [
        (name, "<i8")
        for name in (
            "status",  # _IDLE, _BUSY or _SENDING
            "until",  # when a busy core is ready to send
            "emit",  # start of this core's part of the array of spikes to send
            "to_send",  # spikes there
            "sent",
            "slot",  # 0: the spike has not left yet; else 1 + destinations served
            "first_link",
            "n_links",
            "head",  # oldest waiting event of the ring, and how many there are
            "fill",
            "depth",
            "balancer",  # 1: drops what finds the buffer full, instead of letting the sender wait
            "waits_for",  # the core whose buffer must get room before this source goes on, or -1
            "turn",  # who waits longest goes first
            "waiters",
            "stall_from",  # the present or last time someone waited for this core; -1: never yet
            "stall_to",
            "recorded",
            "every",  # decimator: one spike of so many goes on
            "passed",  # spikes since the last that went on
            "killed",  # start of this core's part of the array of killed neurons, or -1
            "events_in",
            "events_out",
            "synops",
            "saturated",
            "dropped",
            "dropped_by_pooling",
            "decimated",
            "late",
            "ticks",
        )
    ]
    + [("cost", "<f8"), ("carry", "<f8")],  # ns per update; part of a ns owed
    align=True,
)
"""What the network's loop keeps of one core; one record per core, and a last one for the source of the stimulus."""

CLOCK = np.dtype(
    [
        (name, "<i8")
        for name in (
            "now",
            "event",
            "tick",
            "out",
            "stalls",
            "turn",
            "top",
            "since",  # events served since time or stimulus went on
            "endless",  # so many mean that it never ends
            "unlimited",  # 1: buffers grow instead of being full
            "monitor_all",  # 1: monitors see what the decimator holds back
            "latest",  # how late the latest event of the stimulus was taken in
        )
    ],
    align=True,
)
"""Where the network's loop stands."""

STALL = np.dtype([("core", "<i8"), ("t0", "<i8"), ("t1", "<i8")], align=True)
"""A time during which someone waited for room in the buffer of a core."""

PROGRESS = np.dtype(
    [(name, "<i8") for name in ("event", "tick", "out", "events_in", "synops", "saturated", "dropped")], align=True
)
"""Where a core's loop stands and what it has counted; written back when the loop leaves."""


class Stop(IntEnum):
    """Why `run_network` came back; it goes on where it stood when called again."""

    DONE = 0
    BUDGET = 1
    OUT_FULL = 2
    QUEUE_FULL = 3
    STALLS_FULL = 4
    ENDLESS = 5
