"""Many independent samples in one go: what the loop of reset and run gives, without its cost per sample."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numba import njit
from numpy.typing import NDArray

from hal.events import EVENT, EventBatch, SignalBatch
from hal.intake import Batch
from hal.recording import BatchRecording
from hal.store.manifest import RunHeader
from hal_brainscales2.readout import Readout, Spikes
from hal_emulators.cuba import Network
from hal_emulators.link import Link

Bools = NDArray[np.bool_]
I64 = NDArray[np.int64]
Floats = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Chip:
    """What is loaded.

    link: as each way's. to_host: (n,) neurons the host hears. fan_out: (sources, cores) synapses. core: (n,). seed: of
    the device's noise.
    """

    network: Network
    readout: Readout
    link: Link
    to_host: Bools
    fan_out: I64
    core: I64
    seed: int


def run(chip: Chip, batch: Batch, duration_ns: int, workers: int, header: RunHeader) -> BatchRecording | None:
    """The recording of all samples; None where events are lost on the link, of which the loop tells more."""
    size, cores = len(batch), chip.fan_out.shape[1]
    until_s = duration_ns * 1e-9 / chip.readout.speedup
    sent_at, channel, sample = _fed(chip, batch)
    came = chip.link.alone(sent_at, _splits(sample, size))
    if not came.kept.all():
        return None
    there = came.t < until_s
    sent, into = channel[there], sample[there]
    done = chip.network.run_batch(until_s, came.t[there], sent, _splits(into, size), workers=workers)
    read = _read(chip, done.t, done.splits, header.run)
    stats = {counter: np.zeros((size, cores), np.int64) for counter in header.counters}
    stats["events_in"][:, 0] = np.bincount(sample, minlength=size)
    stats["pending"][:, 0] = np.bincount(sample[~there], minlength=size)
    np.add.at(stats["synops"], into, chip.fan_out[sent])
    kept = np.empty(done.t.size, np.int64)
    n = _told(
        done.splits, done.t, read, done.neuron, chip.to_host, chip.core, chip.fan_out[chip.network.n_inputs :], until_s,
        chip.link.service_s, float(chip.link.capacity), stats["events_out"], stats["synops"], stats["pending"], kept,
    )  # fmt: skip
    if n < 0:
        return None
    spikes, of = Spikes(done.t, read, done.neuron, done.i), np.repeat(np.arange(size), np.diff(done.splits))
    if n < done.t.size or read is not done.t:
        order = kept[:n]
        order = order[np.lexsort((read[order], of[order]))]
        spikes, of = spikes[order], of[order]
    stamp = chip.readout.stamps(spikes.read, 0, duration_ns)
    return BatchRecording(
        header=header,
        runs=header.run + np.arange(size, dtype=np.int64),
        t0_ns=np.zeros(size, np.int64),
        spikes=_spikes(chip, batch, spikes, stamp, of, header),
        status=tuple("ok" for _ in range(size)),
        stats=stats,
        traces={
            (node, variable): _per_spike(chip, spikes, stamp, of, variable, run, size)
            for node, variable, run in chip.readout.per_spike
        },
        stimuli=batch,
    )


def _tell(
    splits: I64,
    t: Floats,
    read: Floats,
    neuron: I64,
    to_host: Bools,
    core: I64,
    fan_out: I64,
    until: float,
    service: float,
    capacity: float,
    events_out: I64,
    synops: I64,
    pending: I64,
    kept: I64,
) -> int:
    """Count the spikes of all samples, and list those the host is told of; how many, -1 where one is lost."""
    n = 0
    for b in range(splits.size - 1):
        free = -np.inf
        for k in range(splits[b], splits[b + 1]):
            which = neuron[k]
            events_out[b, core[which]] += 1
            for c in range(fan_out.shape[1]):
                synops[b, c] += fan_out[which, c]
            if not to_host[which]:
                continue
            start = max(t[k], free)
            if start - t[k] > (capacity + 1.0) * service * (1.0 + 1e-9):
                return -1
            free = start + service
            if read[k] < until:
                kept[n] = k
                n += 1
            else:
                pending[b, 0] += 1
    return n


_told: Any = njit(cache=True)(_tell)


def _fed(chip: Chip, batch: Batch) -> tuple[Floats, I64, I64]:
    """Times on the chip, channels and samples of all events, in the order in which they are sent."""
    times, channels, samples = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    base = 0
    for port in chip.readout.config.inputs:
        column: Any = batch.columns[port.name]
        times.append(column.events["t"])
        channels.append(column.events["index"].astype(np.int64) + base)
        samples.append(np.repeat(np.arange(len(batch)), np.diff(column.splits)))
        base += int(np.prod(port.shape))
    t, channel, sample = np.concatenate(times), np.concatenate(channels), np.concatenate(samples)
    order = np.lexsort((channel, t, sample))
    seconds = t[order].astype(np.float64) * 1e-9 / chip.readout.speedup
    return seconds, channel[order], sample[order]


def _splits(sample: I64, size: int) -> I64:
    """Where samples begin among events in their order, (size + 1,)."""
    return np.searchsorted(sample, np.arange(size + 1))


def _read(chip: Chip, t: Floats, splits: I64, first_run: int) -> Floats:
    """Times as the host is told them, with each run's own noise."""
    if not chip.readout.options.jitter_s:
        return chip.readout.read(t, np.random.default_rng(0))
    read = np.empty_like(t)
    for b, (begin, end) in enumerate(zip(splits[:-1].tolist(), splits[1:].tolist(), strict=True)):
        noise = np.random.default_rng([chip.seed, first_run + b])
        read[begin:end] = chip.readout.read(t[begin:end], noise)
    return read


def _spikes(
    chip: Chip, batch: Batch, spikes: Spikes, stamp: I64, where: I64, header: RunHeader
) -> dict[str, EventBatch]:
    made: dict[str, EventBatch] = {}
    for name in header.nodes:
        column = batch.columns.get(name)
        if isinstance(column, EventBatch):
            made[name] = column
            continue
        there, index = chip.readout.of(name, spikes.neuron)
        events = np.empty(int(there.sum()), EVENT)
        events["t"], events["index"] = stamp[there], index[there]
        made[name] = EventBatch(events, _splits(where[there], len(batch)))
    return made


def _per_spike(
    chip: Chip, spikes: Spikes, stamp: I64, where: I64, variable: str, run: tuple[int, int], size: int
) -> SignalBatch:
    mine, values = chip.readout.rows(spikes, variable, run, 0.0)
    return SignalBatch(stamp[mine], values, _splits(where[mine], size))
