"""Compiled heart of the DynapCNN emulator: one input event through one core, and the loop over a core's events.

Everything numba compiles for this family lives in this one file, because numba's disk cache is renewed only when the
file of the calling function changes.

Layout. State is int16 `[y][x][feature]` and weights are int8 `[channel][ky][kx][feature]`, feature fastest. Kernel rows
and columns are stored in the order in which an input event meets ascending output positions (descending kernel
position, one stride phase after the other), so the neurons reached in one output row and their weights are two
contiguous runs of equal length. A run is processed in blocks of `LANES` neurons written as LLVM vector operations: the
block's update, threshold test, reset and clamp are branch free and the neurons that fired come back as a bit mask.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._jit import njit, njit_inlined

__all__ = ["CORE", "LANES", "LINK", "PROGRESS", "apply_leak", "deliver", "run_core"]

_ir: Any = importlib.import_module("llvmlite.ir")
_extending: Any = importlib.import_module("numba.extending")
_types: Any = importlib.import_module("numba.core.types")
_cgutils: Any = importlib.import_module("numba.core.cgutils")

LANES = 32  # neurons per block: one 512-bit register of int16; narrower machines split a block, results are the same
_ALL_LANES = 0xFFFFFFFF

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
        ("leak", "<i2"),  # 1: ticks act on this core
    ],
    align=True,
)
"""What the kernels need to know of one core; one record per core."""

LINK = np.dtype([("plane", "<u4"), ("width", "<u4"), ("rows", "<i8"), ("columns", "<i8"), ("core", "<i8")], align=True)
"""How the events of one source reach core `core`.

`plane` and `width` split a flat source index (c*H + y)*W + x; `rows` and `columns` are starts in the reach table, which
holds for every source row (column) the first output row (column) reached, how many, and the stored position of the
first kernel row (column). The source's pooling is part of the table. A count of -1 marks what pooling drops.
"""

PROGRESS = np.dtype(
    [(name, "<i8") for name in ("event", "tick", "out", "events_in", "synops", "saturated", "dropped")], align=True
)
"""Where a core's loop stands and what it has counted; written back when the loop leaves."""


def _define_update_block(
    typingctx: Any, state: Any, at: Any, weights: Any, weight_at: Any, valid: Any, high: Any, low: Any, keep: Any
) -> Any:
    """Update `valid` (1..LANES) neurons, state[at:] with weights[weight_at:]; returns fired | overflowed << LANES.

    Per neuron: s = saturate(v + w); if s >= high it fires and s becomes saturate(s - high) & keep; v = max(s, low).
    Reads and writes whole blocks: both arrays need LANES - 1 spare elements at the end; neurons past `valid` keep
    their state.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i16, i32, i64 = _ir.IntType(16), _ir.IntType(32), _ir.IntType(64)
        block = _ir.VectorType(i16, LANES)

        def pointer(position: int, element: Any, offset: Any) -> Any:
            array = context.make_array(signature.args[position])(context, builder, args[position])
            start = builder.gep(array.data, [offset])
            return builder.bitcast(start, _ir.PointerType(_ir.VectorType(element, LANES)))

        def splat(value: Any) -> Any:
            first = builder.insert_element(_ir.Constant(block, _ir.Undefined), value, i32(0))
            zeros = _ir.Constant(_ir.VectorType(i32, LANES), [i32(0)] * LANES)
            return builder.shuffle_vector(first, _ir.Constant(block, _ir.Undefined), zeros)

        def call(name: str, left: Any, right: Any) -> Any:
            kind = _ir.FunctionType(block, [block, block])
            function = _cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}i16")
            return builder.call(function, [left, right])

        def bits(mask: Any) -> Any:
            return builder.zext(builder.bitcast(mask, i32), i64)

        lane = _ir.Constant(block, [i16(n) for n in range(LANES)])
        inside = builder.icmp_signed("<", lane, splat(builder.trunc(args[4], i16)))
        high_all, low_all, keep_all = splat(args[5]), splat(args[6]), splat(args[7])
        place = pointer(0, i16, args[1])
        before = builder.load(place, align=2)
        weight = builder.sext(builder.load(pointer(2, _ir.IntType(8), args[3]), align=1), block)
        total = call("sadd.sat", before, weight)
        overflowed = builder.icmp_signed("!=", total, builder.add(before, weight))
        fired = builder.and_(inside, builder.icmp_signed(">=", total, high_all))
        reset = builder.and_(call("ssub.sat", total, high_all), keep_all)
        after = call("smax", builder.select(fired, reset, total), low_all)
        builder.store(builder.select(inside, after, before), place, align=2)
        return builder.or_(bits(fired), builder.shl(bits(builder.and_(inside, overflowed)), i64(LANES)))

    signature = _types.uint64(
        state, _types.int64, weights, _types.int64, _types.int64, _types.int16, _types.int16, _types.int16
    )
    return signature, codegen


def _define_lowest_bit(typingctx: Any, word: Any) -> Any:
    """Position of the lowest set bit of a non-zero 64-bit word."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], _ir.Constant(_ir.IntType(1), 1))

    return _types.int64(_types.uint64), codegen


_update_block: Any = _extending.intrinsic(_define_update_block)
_lowest_bit: Any = _extending.intrinsic(_define_lowest_bit)


@njit_inlined
def deliver(
    core: Any,
    channel: np.int64,
    rows: tuple[np.int64, np.int64, np.int64],
    columns: tuple[np.int64, np.int64, np.int64],
    state: NDArray[np.int16],
    weights: NDArray[np.int8],
    targets: NDArray[np.uint32],
    out: NDArray[np.uint32],
    n_out: int,
) -> tuple[int, int]:
    """One input event through one core: every neuron it reaches, in order (y, x, feature).

    `rows` and `columns` are (first output position, count, stored kernel position) from the reach table. Flat indices
    of the neurons that fire are written to `out` from `n_out` on, which must have room for count * count * features.
    Returns the new fill of `out` and the number of saturated sums.
    """
    length = columns[1] * core.features
    pixel = rows[0] * core.width + columns[0]
    at = core.state + pixel * core.features
    weight_at = core.weights + channel * core.channel_step + rows[2] * core.row_step + columns[2] * core.features
    saturated = 0
    for _ in range(rows[1]):
        for start in range(0, length, LANES):
            valid = min(length - start, LANES)
            word = _update_block(
                state, at + start, weights, weight_at + start, valid,
                core.threshold_high, core.threshold_low, core.keep,
            )  # fmt: skip
            if word != 0:
                fired = word & np.uint64(_ALL_LANES)
                first = core.targets + start
                while fired != 0:
                    out[n_out] = targets[first + _lowest_bit(fired)] + np.uint32(pixel)
                    n_out += 1
                    fired &= fired - np.uint64(1)
                overflowed = word >> np.uint64(LANES)
                while overflowed != 0:
                    saturated += 1
                    overflowed &= overflowed - np.uint64(1)
        pixel += core.width
        at += core.width * core.features
        weight_at += core.row_step
    return n_out, saturated


@njit
def apply_leak(core: Any, state: NDArray[np.int16], bias: NDArray[np.int16]) -> np.int64:
    """One slow-clock tick on one core: v = max(saturate(v + bias[feature]), threshold_low), no spike test.

    Returns the number of saturated sums.
    """
    saturated = np.int64(0)
    low = np.int32(core.threshold_low)
    for pixel in range(core.state, core.state + core.neurons, core.features):
        for feature in range(core.features):
            total = np.int32(state[pixel + feature]) + np.int32(bias[core.bias + feature])
            legal = min(max(total, np.int32(-32768)), np.int32(32767))
            saturated += np.int64(total != legal)
            state[pixel + feature] = max(legal, low)
    return saturated


@njit
def run_core(
    number: int,
    links: NDArray[np.void],
    cores: NDArray[np.void],
    reach: NDArray[np.int32],
    state: NDArray[np.int16],
    weights: NDArray[np.int8],
    targets: NDArray[np.uint32],
    bias: NDArray[np.int16],
    t: NDArray[np.int64],
    index: NDArray[np.uint32],
    ticks: NDArray[np.int64],
    out_t: NDArray[np.int64],
    out_index: NDArray[np.uint32],
    out_src: NDArray[np.uint32],
    standing: NDArray[np.void],
) -> bool:
    """Process source events (t, index) of link `number` and ticks of its core, from where `standing` says.

    `standing` is one PROGRESS. A tick acts before events of the same or a later time. Returns True when everything is
    done, False when the output buffers have no room for the next event: the caller enlarges them and calls again.
    """
    link, progress = links[number], standing[0]
    core = cores[link.core]
    event, tick, n_out = progress.event, progress.tick, progress.out
    events_in, synops, saturated, dropped = progress.events_in, progress.synops, progress.saturated, progress.dropped
    n_ticks = len(ticks) if core.leak else 0
    capacity = len(out_index)
    done = True
    while event < len(index):
        now = t[event]
        while tick < n_ticks and ticks[tick] <= now:
            saturated += apply_leak(core, state, bias)
            tick += 1
        channel = np.int64(index[event] // link.plane)  # 32-bit division; the rest in the kernel's index type
        place = np.uint32(index[event] % link.plane)
        row = link.rows + np.int64(place // link.width)
        column = link.columns + np.int64(place % link.width)
        rows = (np.int64(reach[row, 0]), np.int64(reach[row, 1]), np.int64(reach[row, 2]))
        columns = (np.int64(reach[column, 0]), np.int64(reach[column, 1]), np.int64(reach[column, 2]))
        if rows[1] < 0 or columns[1] < 0:
            dropped += 1
            event += 1
            continue
        updates = rows[1] * columns[1] * core.features
        if n_out + updates > capacity:
            done = False
            break
        before = n_out
        n_out, overflowed = deliver(core, channel, rows, columns, state, weights, targets, out_index, n_out)
        for spike in range(before, n_out):
            out_t[spike] = now
            out_src[spike] = events_in
        saturated += overflowed
        synops += updates
        events_in += 1
        event += 1
    if done:
        while tick < n_ticks:
            saturated += apply_leak(core, state, bias)
            tick += 1
    progress.event, progress.tick, progress.out = event, tick, n_out
    progress.events_in, progress.synops, progress.saturated, progress.dropped = events_in, synops, saturated, dropped
    return done
