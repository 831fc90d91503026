"""Many independent samples in one go: what the loop of reset and run gives, without its cost per sample."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.events import EVENT, EventBatch, SignalBatch
from hal.intake import Batch
from hal.recording import BatchRecording
from hal.store.manifest import RunHeader
from hal_brainscales2.passes import count, tally, write
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
    size = len(batch)
    until_s = duration_ns * 1e-9 / chip.readout.speedup
    sent_at, channel, sample = _fed(chip, batch)
    came = chip.link.alone(sent_at, _splits(sample, size))
    if not came.kept.all():
        return None
    there = came.t < until_s
    sent, into = channel[there], sample[there]
    done = chip.network.run_batch(until_s, came.t[there], sent, _splits(into, size), workers=workers)
    cores = chip.fan_out.shape[1]
    spikes, ends = _some(
        Spikes(done.t, _read(chip, done.t, done.splits, header.run), done.neuron, done.i),
        done.splits,
        chip.to_host[done.neuron],
    )
    if not chip.link.alone(spikes.t, ends).kept.all():
        return None
    leaving = np.diff(ends)
    spikes, ends = _some(spikes, ends, spikes.read < until_s)
    stats = {counter: np.zeros((size, cores), np.int64) for counter in header.counters}
    stats["events_in"][:, 0] = np.bincount(sample, minlength=size)
    stats["pending"][:, 0] = np.bincount(sample[~there], minlength=size) + leaving - np.diff(ends)
    for c, met in enumerate(chip.fan_out.T):
        stats["synops"][:, c] = np.bincount(into, met[sent], minlength=size)
    tally(
        done.splits, done.neuron, chip.core, chip.fan_out[chip.network.n_inputs :], stats["events_out"], stats["synops"]
    )
    if chip.readout.options.jitter_s:
        spikes = spikes[np.lexsort((spikes.read, np.repeat(np.arange(size), np.diff(ends))))]
    stamp = chip.readout.stamps(spikes.read, 0, duration_ns)
    return BatchRecording(
        header=header,
        runs=header.run + np.arange(size, dtype=np.int64),
        t0_ns=np.zeros(size, np.int64),
        spikes=_spikes(chip, batch, spikes, stamp, ends, header),
        status=tuple("ok" for _ in range(size)),
        stats=stats,
        traces={
            (node, variable): _per_spike(chip, spikes, stamp, ends, variable, run)
            for node, variable, run in chip.readout.per_spike
        },
        stimuli=batch,
    )


def _some(spikes: Spikes, splits: I64, which: Bools) -> tuple[Spikes, I64]:
    """Those spikes, and where samples begin among them; nothing is copied for all."""
    return (spikes, splits) if which.all() else (spikes[which], np.searchsorted(np.flatnonzero(which), splits))


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
    chip: Chip, batch: Batch, spikes: Spikes, stamp: I64, splits: I64, header: RunHeader
) -> dict[str, EventBatch]:
    made: dict[str, EventBatch] = {}
    for name in header.nodes:
        column = batch.columns.get(name)
        if isinstance(column, EventBatch):
            made[name] = column
            continue
        place, ends = chip.readout.places[name], np.zeros(splits.size, np.int64)
        events = np.empty(count(splits, spikes.neuron, place, ends), EVENT)
        write(spikes.neuron, place, stamp, events["t"], events["index"])
        made[name] = EventBatch(events, ends)
    return made


def _per_spike(chip: Chip, spikes: Spikes, stamp: I64, splits: I64, variable: str, run: tuple[int, int]) -> SignalBatch:
    mine, values = chip.readout.rows(spikes, variable, run, 0.0)
    return SignalBatch(stamp[mine], values, np.searchsorted(np.flatnonzero(mine), splits))
