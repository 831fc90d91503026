"""Compiled heart of the DynapCNN emulator: one event through one core, the loop over a core's events, and the network.

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
from .dynapcnn_records import Stop

__all__ = ["LANES", "apply_leak", "deliver", "run_core", "run_network"]

_ir: Any = importlib.import_module("llvmlite.ir")
_extending: Any = importlib.import_module("numba.extending")
_types: Any = importlib.import_module("numba.core.types")
_cgutils: Any = importlib.import_module("numba.core.cgutils")

LANES = 32  # neurons per block: one 512-bit register of int16; narrower machines split a block, results are the same
_ALL_LANES = 0xFFFFFFFF

_IDLE, _BUSY, _SENDING = 0, 1, 2
_DONE, _BUDGET, _OUT_FULL, _QUEUE_FULL, _STALLS_FULL, _ENDLESS = (int(stop) for stop in Stop)


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


@njit_inlined
def _arrival(
    link: Any, index: np.uint32, reach: NDArray[np.int32]
) -> tuple[np.int64, tuple[np.int64, np.int64, np.int64], tuple[np.int64, np.int64, np.int64]]:
    """Channel, and rows and columns as `deliver` takes them, of a source's event at its core."""
    # 32-bit division; the rest in the kernel's index type
    channel = np.int64(index // link.plane) + link.shift
    place = np.uint32(index % link.plane)
    row = link.rows + np.int64(place // link.width)
    column = link.columns + np.int64(place % link.width)
    rows = (np.int64(reach[row, 0]), np.int64(reach[row, 1]), np.int64(reach[row, 2]))
    columns = (np.int64(reach[column, 0]), np.int64(reach[column, 1]), np.int64(reach[column, 2]))
    return channel, rows, columns


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
        channel, rows, columns = _arrival(link, index[event], reach)
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


@njit_inlined
def _ns(cell: Any, updates: int) -> np.int64:
    """How long so many updates take; parts of a ns are kept for the next time, so that rates are exact."""
    total = updates * cell.cost + cell.carry
    whole = np.int64(total)
    cell.carry = total - whole
    return whole


@njit_inlined
def _tick(core: Any, cell: Any, now: int, state: NDArray[np.int16], bias: NDArray[np.int16]) -> None:
    """One slow-clock tick on one core, which is busy with it for one update per neuron.

    A core that waits to send uses the time it has anyway.
    """
    cell.saturated += apply_leak(core, state, bias)
    cell.ticks += 1
    if cell.status == _BUSY:
        cell.until += _ns(cell, core.neurons)
    elif cell.status == _IDLE:
        span = _ns(cell, core.neurons)
        if span > 0:
            cell.status, cell.until = _BUSY, now + span
            cell.to_send = cell.sent = 0


@njit_inlined
def _serve(
    core: Any,
    cell: Any,
    link: Any,
    index: np.uint32,
    now: int,
    reach: NDArray[np.int32],
    state: NDArray[np.int16],
    weights: NDArray[np.int8],
    targets: NDArray[np.uint32],
    killed: NDArray[np.bool_],
    emit: NDArray[np.uint32],
) -> None:
    """Take one event in; what it makes fire is sent when the time that takes is over."""
    channel, rows, columns = _arrival(link, index, reach)
    end, overflowed = deliver(core, channel, rows, columns, state, weights, targets, emit, cell.emit)
    if cell.killed >= 0:
        alive = cell.emit
        for spike in range(cell.emit, end):
            if not killed[cell.killed + np.int64(emit[spike])]:
                emit[alive] = emit[spike]
                alive += 1
        end = alive
    updates = rows[1] * columns[1] * core.features
    cell.events_in += 1
    cell.synops += updates
    cell.saturated += overflowed
    cell.to_send, cell.sent, cell.slot = end - cell.emit, 0, 0
    span = _ns(cell, updates)
    cell.until = now + span
    cell.status = _BUSY if span > 0 else _SENDING


@njit
def run_network(
    clock: NDArray[np.void],
    cells: NDArray[np.void],
    stack: NDArray[np.int64],
    links: NDArray[np.void],
    cores: NDArray[np.void],
    reach: NDArray[np.int32],
    state: NDArray[np.int16],
    weights: NDArray[np.int8],
    targets: NDArray[np.uint32],
    bias: NDArray[np.int16],
    killed: NDArray[np.bool_],
    ports: NDArray[np.int64],
    event_t: NDArray[np.int64],
    event_port: NDArray[np.int64],
    event_index: NDArray[np.uint32],
    tick_t: NDArray[np.int64],
    tick_clock: NDArray[np.int64],
    emit: NDArray[np.uint32],
    queue_index: NDArray[np.uint32],
    queue_link: NDArray[np.int64],
    out_t: NDArray[np.int64],
    out_core: NDArray[np.int64],
    out_index: NDArray[np.uint32],
    stalls: NDArray[np.void],
    horizon: int,
    budget: int,
) -> int:
    """Cores that hand events on to each other, up to but without time `horizon`; a `Stop`.

    What can happen at one moment happens depth first: a stack holds the sources that are at work, and a core that takes
    an event in goes on top of whoever sent it. With cost 0 that is the untimed rule: everything an event causes is over
    before the next one. `ports` (n, 2) first link and number of links of every kind of stimulus. At equal times ticks
    come first, then cores that are ready, then the stimulus.
    """
    me = clock[0]
    n_cores = len(cells) - 1
    source = cells[n_cores]
    used = 0
    while True:
        if me.top == 0:
            moment, what = np.int64(horizon), -2
            if me.tick < len(tick_t) and tick_t[me.tick] < moment:
                moment, what = tick_t[me.tick], -1
            for number in range(n_cores):
                if cells[number].status == _BUSY and cells[number].until < moment:
                    moment, what = cells[number].until, number
            if me.event < len(event_t) and source.waits_for < 0 and max(event_t[me.event], me.now) < moment:
                moment, what = max(event_t[me.event], me.now), n_cores
            if what == -2:
                return _DONE
            if moment > me.now:
                me.now, me.since = moment, 0
            if what == -1:
                for number in range(n_cores):
                    if cores[number].leak == tick_clock[me.tick] + 1:
                        _tick(cores[number], cells[number], me.now, state, bias)
                me.tick += 1
            else:
                cells[what].status = _SENDING
                stack[0] = what
                me.top = 1
            continue
        if used >= budget:
            return _BUDGET
        who = stack[me.top - 1]
        cell = cells[who]
        if who == n_cores:
            if me.event == len(event_t) or event_t[me.event] > me.now:
                me.top -= 1
                continue
            port = event_port[me.event]
            first = ports[port, 0]
            if cell.slot == 0:
                cell.slot = 1
            if cell.slot > ports[port, 1]:
                if event_t[me.event] < me.now:
                    cells[links[first].core].late += 1
                    me.latest = max(me.latest, me.now - event_t[me.event])
                me.event += 1
                cell.slot = me.since = 0
                used += 1
                continue
            index = event_index[me.event]
        elif cell.status == _SENDING:
            if cell.sent == cell.to_send:
                cell.status = _IDLE
                continue
            index = emit[cell.emit + cell.sent]
            if cell.slot == 0:
                if me.out == len(out_t):
                    return _OUT_FULL
                cell.passed += 1
                goes_on = cell.passed >= cell.every
                if cell.recorded and (goes_on or me.monitor_all):
                    out_t[me.out], out_core[me.out], out_index[me.out] = me.now, who, index
                    me.out += 1
                cell.events_out += 1
                if not goes_on:
                    cell.decimated += 1
                    cell.sent += 1
                    continue
                cell.passed = 0
                cell.slot = 1
            if cell.slot > cell.n_links:
                cell.sent += 1
                cell.slot = 0
                continue
            first = cell.first_link
        else:
            if cell.fill == 0:
                me.top -= 1
                continue
            me.since += 1
            if me.since > me.endless:
                return _ENDLESS
            index = queue_index[who, cell.head]
            link = links[queue_link[who, cell.head]]
            cell.head = (cell.head + 1) % queue_index.shape[1]
            cell.fill -= 1
            _serve(cores[who], cell, link, index, me.now, reach, state, weights, targets, killed, emit)
            used += 1
            if cell.status == _BUSY:
                me.top -= 1
            if cell.waiters:
                next_one = -1
                for number in range(n_cores + 1):
                    if cells[number].waits_for == who and (next_one < 0 or cells[number].turn < cells[next_one].turn):
                        next_one = number
                cells[next_one].waits_for = -1
                cell.waiters -= 1
                cell.stall_to = me.now
                stack[me.top] = next_one
                me.top += 1
            continue
        # one event to one destination
        number = first + cell.slot - 1
        link = links[number]
        place = np.uint32(index % link.plane)
        if reach[link.rows + place // link.width, 1] < 0 or reach[link.columns + place % link.width, 1] < 0:
            cell.dropped_by_pooling += 1
            cell.slot += 1
            continue
        target = cells[link.core]
        if target.fill >= target.depth:
            if target.balancer:
                target.dropped += 1
                cell.slot += 1
                continue
            if me.unlimited:
                return _QUEUE_FULL
            if target.waiters == 0 and target.stall_to < me.now:
                # not the continuation of the last stall, which is now known to be over
                if target.stall_from >= 0:
                    if me.stalls == len(stalls):
                        return _STALLS_FULL
                    stall = stalls[me.stalls]
                    stall.core, stall.t0, stall.t1 = link.core, target.stall_from, target.stall_to
                    me.stalls += 1
                target.stall_from = me.now
            target.waiters += 1
            cell.waits_for = link.core
            cell.turn = me.turn
            me.turn += 1
            me.top -= 1
            continue
        at = (target.head + target.fill) % queue_index.shape[1]
        queue_index[link.core, at], queue_link[link.core, at] = index, number
        target.fill += 1
        cell.slot += 1
        if target.status == _IDLE:
            stack[me.top] = link.core
            me.top += 1
