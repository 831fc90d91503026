"""Batches and sweeps on a cluster of Dask that loses a worker, in an environment that has it: see `.ci/run --full`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pytest

import hal

distributed = pytest.importorskip("distributed", reason="needs neurohal[dask]; `.ci/run --full` installs it for this")
pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("default")]
STEP = 1000
DURATION = 20 * STEP
COUNT = 200


@pytest.fixture
def client() -> Iterator[Any]:
    """Two processes of one thread each, without a dashboard."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.integers(0, DURATION, b % 7)) for b in range(COUNT)]
    return {"input": [hal.events(t, rng.integers(0, 2, t.size)) for t in rows]}


class Deadly(Executor):
    """Dask's executor; kills the process `pid` when `after` tasks are done, and counts answers per task."""

    def __init__(self, client: Any, pid: int, after: int) -> None:
        self._client = client
        self._inner = client.get_executor()
        self._pid, self._left = pid, after
        self.asked = self.answered = 0

    def submit(self, task: Any, /, *arguments: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = self._inner.submit(task, *arguments, **more)
        self.asked += 1
        future.add_done_callback(self._count)
        return future

    def _count(self, _: Future[Any]) -> None:
        self.answered += 1
        self._left -= 1
        if not self._left:
            os.kill(self._pid, signal.SIGKILL)


def received() -> list[int]:
    """On a worker: how often it took in each parcel."""
    from hal import parcels

    return list(parcels.received.values())


def same(one: Any, two: Any) -> bool:
    return (
        one.runs.tolist() == two.runs.tolist()
        and one.status == two.status
        and all(np.array_equal(one.spikes[node].events, two.spikes[node].events) for node in two.spikes)
        and all(np.array_equal(one.spikes[node].splits, two.spikes[node].splits) for node in two.spikes)
        and all(np.array_equal(one.stats[name], two.stats[name]) for name in two.stats)
    )


def test_a_batch_and_a_sweep_send_what_is_heavy_once_per_worker(client: Any, net: Any, given: dict[str, Any]) -> None:
    mapping = hal.mapper("speck2f").map(net.relay())
    with hal.open("speck2f") as chip:
        chip.load(mapping)
        wanted = chip.run_batch(given, DURATION)
        chip.load(mapping)
        with client.get_executor() as executor:
            assert same(chip.run_batch(given, DURATION, executor=executor), wanted)
            assert (chip.run_number, chip.t0_ns) == (COUNT, DURATION)
            points = [(mapping, {"seed": seed}) for seed in range(6)]
            there = hal.sweep(points, given, DURATION, executor=executor)
    here = hal.sweep(points, given, DURATION)
    assert all(same(a, b) for a, b in zip(there, here, strict=True))
    counts = client.run(received)
    assert len(counts) == 2
    assert {count for each in counts.values() for count in each} == {1}
    assert all(1 <= len(each) <= 2 for each in counts.values())


@pytest.mark.parametrize("after", [1, 20, 60])
def test_a_worker_killed_in_the_middle_loses_nothing_and_repeats_nothing(
    client: Any, net: Any, given: dict[str, Any], after: int
) -> None:
    mapping = hal.mapper("ideal").map(net.relay())
    with hal.open("ideal") as chip:
        chip.load(mapping)
        wanted = chip.run_batch(given, DURATION)
        chip.load(mapping)
        pids = list(client.run(os.getpid).values())
        executor = Deadly(client, pids[0], after)
        got = chip.run_batch(given, DURATION, executor=executor)
        assert same(got, wanted)
        assert (chip.run_number, chip.t0_ns) == (COUNT, DURATION)
        assert executor.answered == executor.asked
        client.wait_for_workers(2)
        assert pids[0] not in client.run(os.getpid).values()
        # the worker that was started in its place takes part, and is sent everything once, too
        assert same(hal.sweep([(mapping, {})] * 8, given, DURATION, executor=client.get_executor())[7], wanted)
    assert {count for each in client.run(received).values() for count in each} == {1}
