"""Guards of the compiled kernels: the right numbers on the measured workloads; times are recorded, not judged.

Run with `pytest benchmarks/test_kernels.py`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hal_emulators.dynapcnn import Chain, ChainResult
from hal_emulators.dynapcnn_network import Link, Network, Step, Timing


def _load(name: str) -> ModuleType:
    """The neighbouring module, by path: benchmarks are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


workloads = _load("workloads")
_load("child")  # which those after it import
_load("dynapse2_rows")
loihi = _load("loihi")
dynapse2 = _load("dynapse2")

# Output spikes per layer and synaptic updates in all; computed with sinabs 3.1.3 neurons, one update at a time.
TOTALS = {
    "small3": ([6844, 3283, 136], 783_162),
    "nmnist": ([18225, 11478, 1110, 11], 4_161_284),
    "gesture": ([18354, 16955, 11462, 9068, 7744, 4872, 3582, 1395, 112], 11_966_041),
}


def _from_start(chain: Chain, workload: Any) -> ChainResult:
    chain.reset()
    return chain.run(workload.t, workload.index)


@pytest.mark.parametrize("name", ["small3", "nmnist", "gesture"])
def test_chain(benchmark: Any, name: str) -> None:
    workload = workloads.workload(name)
    result: ChainResult = benchmark(_from_start, workload.chain(), workload)
    spikes, synops = TOTALS[name]
    assert [core.events_out for core in result.cores] == spikes
    assert sum(core.synops for core in result.cores) == synops


@pytest.mark.parametrize("rate", [None, 1e8])
def test_network(benchmark: Any, rate: float | None) -> None:
    """The same through cores that hand on event by event, infinitely fast and timed."""
    workload = workloads.workload("gesture")
    cores = workload.chain().cores
    links = [Link(-1, 0), *(Link(n, n + 1, core.pooling) for n, core in enumerate(cores[:-1]))]
    network = Network(cores, links, [cores[0].in_shape], timing=Timing(rate=rate))
    port = np.zeros(workload.t.size, np.int64)

    def run() -> Step:
        network.reset()
        network.begin(workload.t * 1000, port, workload.index, duration=workload.duration_us * 1000 + 1_000_000)
        return network.advance()

    step: Step = benchmark(run)
    spikes, synops = TOTALS["gesture"]
    assert step.counts["events_out"].tolist() == spikes
    assert step.counts["synops"].sum() == synops


def test_long_run(benchmark: Any) -> None:
    workload = workloads.workload("nmnist200k")
    result: ChainResult = benchmark.pedantic(_from_start, (workload.chain(), workload), rounds=5, warmup_rounds=1)
    assert result.cores[0].events_in == 200_000


def test_empty_run(benchmark: Any) -> None:
    chain = workloads.workload("small3").chain()
    result: ChainResult = benchmark(chain.run, np.empty(0, np.int64), np.empty(0, np.uint32))
    assert all(core.events_out == 0 for core in result.cores)


# Spikes and synaptic deliveries; nengo-loihi 1.1.0 has the same.
LOIHI = {"recurrent 1024": (23_074, 2_505_091), "chain 16 x 1024": (136_467, 6_517_989)}


@pytest.mark.parametrize("name", list(LOIHI))
def test_loihi(benchmark: Any, name: str) -> None:
    work = loihi.WORKLOADS[name]()
    board = work.board()
    when, source = work.spikes.nonzero()

    def run() -> Any:
        board.reset()
        return board.run(len(work.spikes), when, source)

    result = benchmark(run)
    assert (result.spike_index.size, result.synops.sum()) == LOIHI[name]


# Spikes and synaptic deliveries; rockpool 3.1.0 has the same spikes, step by step (jax 0.10.2).
DYNAPSE2 = {"sim64": (4304, 17_801), "sim1024_5pct": (74_575, 3_880_554)}


@pytest.mark.parametrize("name", list(DYNAPSE2))
def test_dynapse2(benchmark: Any, name: str) -> None:
    row = dynapse2.ROWS[name]()
    answer = benchmark.pedantic(lambda run: run(), setup=lambda: ((row.prepare(),), {}), rounds=5, warmup_rounds=1)
    facts = row.facts(answer)
    assert (facts["spikes"], facts["synops"]) == DYNAPSE2[name]
