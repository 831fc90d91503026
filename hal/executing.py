"""Batches and sweeps on any `concurrent.futures.Executor`: threads, processes, or machines that Dask looks after.

Results are those of the loop, whatever the executor and the number of its workers: every sample has its number of run,
and with it its noise, from the caller. What comes back is put in its place by number, so nothing is there twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final

import attrs

from hal.errors import ConfigError, DeviceTimeoutError, ExecutorError, HalError, Problem
from hal.events import BatchStimulus
from hal.intake import Batch
from hal.parcels import Sender, collect, lost
from hal.recording import BatchRecording, Recording
from hal.watch import Watch

if TYPE_CHECKING:
    from hal.device import Device
    from hal.mapping import Mapping as HalMapping

TASKS: Final = 64
"""At most so many tasks per batch: enough for a few per worker, few enough that handing them out costs little."""


def check_executor(executor: Any, kind: str, name: str) -> None:
    """Refuse what is no Executor, and devices of which there is only one."""
    problems = [*_no_executor(executor), *_no_copies(kind, name)]
    if problems:
        raise ConfigError("an executor cannot be used", problems=problems)


def _no_executor(executor: Any) -> list[Problem]:
    hint = "Dask: client.get_executor()"
    wrong = Problem("not a concurrent.futures.Executor", "executor", type(executor).__name__, hint=hint)
    return [] if isinstance(executor, Executor) else [wrong]


def _no_copies(kind: str, where: str) -> list[Problem]:
    hint = "leave executor= out: its runs follow one another"
    wrong = Problem("a chip cannot be copied to workers", where, kind, "emulator", hint)
    return [] if kind == "emulator" else [wrong]


def run_batch(
    device: Device, batch: Batch, duration_ns: int, executor: Executor, watch: Watch, here: Callable[[Batch], Any]
) -> BatchRecording:
    """Samples on copies of a loaded device, the last one on the device itself, which is left as after the loop.

    here: runs a batch on the device itself.
    """
    first, last = device.run_number, len(batch) - 1
    done: dict[int, Recording] = {}
    chunks = _chunks(last)
    parts: dict[Any, Any] = {}
    try:
        with Sender(executor) as sender:
            tasks = {}
            if chunks:
                parcel = sender.pack(device, repr(device))
                for a, b in chunks:
                    part = _cut(batch, a, b)
                    tasks[a] = sender.submit(_run_part, parcel, part.columns, duration_ns, first + a)
            device._run_number = first + last
            done[last] = here(_cut(batch, last, last + 1))[0]
            collect(tasks, parts, watch)
    except BaseException as error:
        device._run_number, device._broken_off = first, True
        failed = error if isinstance(error, HalError) or not isinstance(error, RuntimeError) else lost(error)
        if isinstance(failed, ExecutorError | DeviceTimeoutError):
            done |= _filled(parts, batch, device.mapping)
            failed.data["recordings"] = dict(sorted(done.items()))
            failed.data["left"] = tuple(b for b in range(len(batch)) if b not in done)
        if failed is error:
            raise
        raise failed from error
    done |= _filled(parts, batch, device.mapping)
    return BatchRecording.of([done[b] for b in range(len(batch))])


def _chunks(size: int) -> list[tuple[int, int]]:
    count = min(size, TASKS)
    bounds = [k * size // count for k in range(count + 1)] if count else []
    return list(itertools.pairwise(bounds))


def _cut(batch: Batch, first: int, last: int) -> Batch:
    """Samples [first, last)."""
    from hal.events import EventBatch

    columns: dict[str, Any] = {}
    for name, column in batch.columns.items():
        if isinstance(column, EventBatch):
            start, end = int(column.splits[first]), int(column.splits[last])
            columns[name] = EventBatch(column.events[start:end], column.splits[first : last + 1] - start)
        else:
            columns[name] = column[first:last]
    return Batch(columns, last - first)


def _run_part(device: Device, columns: BatchStimulus, duration_ns: int, run: int) -> BatchRecording:
    """Some samples of a batch; what was fed in is not sent back."""
    device.reset()  # the part before may have ended badly
    device._run_number = run
    return _bare(device.run_batch(columns, duration_ns))


def _bare(recording: BatchRecording) -> BatchRecording:
    return attrs.evolve(recording, header=attrs.evolve(recording.header, stimulus={}, mapping=None), stimuli=())


def _filled(parts: Mapping[int, BatchRecording], batch: Batch, mapping: HalMapping | None) -> dict[int, Recording]:
    """Recordings by sample, with their stimuli and what was loaded."""
    out = {}
    for start, part in parts.items():
        for b, one in enumerate(part[k] for k in range(len(part))):
            header = attrs.evolve(one.header, stimulus=batch[start + b], mapping=mapping)
            out[start + b] = attrs.evolve(one, header=header)
    return out


# --- sweeps ----------------------------------------------------------------------------------------------------


def sweep(
    points: Sequence[tuple[HalMapping, Mapping[str, Any]]],
    stimuli: BatchStimulus,
    duration_ns: int,
    *,
    executor: Executor | None = None,
    timeout_s: float | None = None,
) -> list[BatchRecording]:
    """Run one batch at every point of a sweep, each on a device of its own; one recording per point, in their order.

    Args:
        points: a mapping and what `hal.open` is given (`seed`, `profile`, open options; `name` for another device
            that loads the mapping). A mapping that several points share is sent once per worker.
        stimuli: as for `Device.run_batch`.
        duration_ns: model ns.
        executor: where points run side by side; default: here, one after the other. Results do not depend on it.
        timeout_s: wall seconds for the whole sweep.

    Raises:
        ConfigError: a point or the stimulus cannot be run. ExecutorError: workers died and their executor does not run
        their tasks again. DeviceTimeoutError. The last two carry `.data["recordings"]` (by number of the point) and
        `.data["left"]`.
    """
    _check_points(points, executor)
    watch = Watch(timeout_s)
    done: dict[int, BatchRecording] = {}
    try:
        if executor is None:
            for k, (mapping, how) in enumerate(points):
                watch(0)
                done[k] = _at_point(mapping, dict(how), stimuli, duration_ns)
        else:
            with Sender(executor) as sender:
                parcels = {id(mapping): mapping for mapping, _ in points}
                packed = {key: sender.pack(mapping, repr(mapping)) for key, mapping in parcels.items()}
                tasks = {
                    k: sender.submit(_afar, packed[id(mapping)], dict(how), stimuli, duration_ns)
                    for k, (mapping, how) in enumerate(points)
                }
                try:
                    collect(tasks, done, watch)
                finally:
                    done = {k: _loaded(made, points[k][0]) for k, made in done.items()}
    except (HalError, RuntimeError) as error:
        failed = error if isinstance(error, HalError) else lost(error)
        if isinstance(failed, ExecutorError | DeviceTimeoutError):
            failed.data["recordings"] = dict(sorted(done.items()))
            failed.data["left"] = tuple(k for k in range(len(points)) if k not in done)
        if failed is error:
            raise
        raise failed from error
    return [done[k] for k in range(len(points))]


def _at_point(mapping: HalMapping, how: dict[str, Any], stimuli: BatchStimulus, duration_ns: int) -> BatchRecording:
    from hal import registry

    with registry.open(**{"name": mapping.device} | how) as device:
        device.load(mapping)
        return device.run_batch(stimuli, duration_ns)


def _afar(mapping: HalMapping, how: dict[str, Any], stimuli: BatchStimulus, duration_ns: int) -> BatchRecording:
    """The mapping is not sent back."""
    return _loaded(_at_point(mapping, how, stimuli, duration_ns), None)


def _loaded(recording: BatchRecording, mapping: HalMapping | None) -> BatchRecording:
    return attrs.evolve(recording, header=attrs.evolve(recording.header, mapping=mapping))


def _check_points(points: Any, executor: Any) -> None:
    from hal.mapping import Mapping as HalMapping

    problems: list[Problem] = []
    for k, point in enumerate(points):
        pair = isinstance(point, tuple) and len(point) == 2
        if not (pair and isinstance(point[0], HalMapping) and isinstance(point[1], Mapping)):
            problems.append(Problem("not a pair of a mapping and what hal.open is given", f"point {k}", repr(point)))
        elif executor is not None:
            problems += _no_copies(point[1].get("kind", "emulator"), f"point {k}")
    if executor is not None:
        problems += _no_executor(executor)
    if problems:
        raise ConfigError("the sweep cannot be run", problems=problems)
