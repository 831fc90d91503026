"""Profile `jaxsnn` on the reference: a file as its importer reads it, and each of its rules by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal
from hal import nodes
from hal.cli import run as command
from hal.model import Model
from hal.semantics import Semantics

MS = 1_000_000


def model(cls: Any, weight: float, **values: float) -> Model:
    """in -> w -> n -> out, one of each. Time constants in ms; r and w_in, which the importer ignores, are not 1."""
    usual = {"tau_mem": 2, "tau_syn": 4, "r": 3, "w_in": 7, "v_leak": 0, "v_threshold": 1, "v_reset": 0} | values
    one: dict[str, Any] = {"input_shape": (1,), "output_shape": (1,)}
    parts = [
        nodes.Input(name="in", **one),
        nodes.Linear(name="w", weight=np.array([[weight]]), **one),
        cls(name="n", **one, **{key: np.array([float(usual[key])]) for key in cls.parameters}),
        nodes.Output(name="out", **one),
    ]
    edges = [("in", "w"), ("w", "n"), ("n", "out")]
    return Model.of({p.name: p for p in parts}, edges, Semantics(profile="jaxsnn", dt_ns=MS))


def states(graph: Model, kicks: list[int]) -> tuple[list[float], list[float], Any]:
    """Membrane and current after every step, and the recording, for so many events in each step of 1 ms."""
    probes = [hal.Probe("n", variable, every_ns=MS) for variable in ("v", "i")]
    mapping = hal.mapper("ideal").map(graph, record=["n", *probes] if graph.nodes["n"].spiking else probes)
    with hal.open("ideal") as chip:
        chip.load(mapping)
        recording = chip.run({"in": np.array(kicks)[:, None]}, len(kicks) * MS)
    v, i = (recording.traces["n", variable].values[:, 0].tolist() for variable in ("v", "i"))
    return v, i, recording


@settings(max_examples=50, deadline=None)
@given(
    weight=st.floats(-5, 5).filter(lambda w: abs(w) > 1e-3),
    at=st.integers(0, 10),
    tau_mem=st.floats(1.1, 50),
    tau_syn=st.floats(1.1, 50),
)
def test_an_input_moves_the_membrane_one_step_later(weight: float, at: int, tau_mem: float, tau_syn: float) -> None:
    graph = model(nodes.CubaLIF, weight, tau_mem=tau_mem, tau_syn=tau_syn, v_threshold=1e3)
    v, i, _ = states(graph, [int(k == at) for k in range(at + 3)])
    assert v[: at + 1] == [0.0] * (at + 1)
    assert i[: at + 1] == [0.0] * at + [weight]
    assert v[at + 1] == pytest.approx(weight / tau_mem, rel=1e-12)
    assert i[at + 1] == pytest.approx(weight * (1 - 1 / tau_syn), rel=1e-12)
    second = v[at + 1] + (i[at + 1] - v[at + 1]) / tau_mem
    assert v[at + 2] == pytest.approx(second, rel=1e-12, abs=1e-12 * abs(weight))


def test_a_read_out_jumps_before_its_membrane_moves() -> None:
    v, i, recording = states(model(nodes.CubaLI, 8.0), [1, 0, 0])
    # halves and quarters: exact in binary
    assert v == [4.0, 5.0, 4.75]
    assert i == [6.0, 4.5, 3.375]
    assert recording.signals["out"].values[:, 0].tolist() == v


@pytest.mark.parametrize(("weight", "spikes"), [(2.0, []), (2.0 + 2**-30, [1]), (2.0 - 2**-30, [])])
def test_exactly_at_the_threshold_there_is_no_spike(weight: float, spikes: list[int]) -> None:
    v, _, recording = states(model(nodes.CubaLIF, weight, tau_syn=1), [1, 0, 0])
    assert (recording.spikes["n"]["t"] // MS).tolist() == spikes
    assert v[1] == (0.0 if spikes else weight / 2)


def test_a_spike_resets_the_membrane_to_its_value_and_keeps_the_current() -> None:
    v, i, recording = states(model(nodes.CubaLIF, 4.0, v_threshold=1.5, v_reset=-0.5), [1, 0, 0])
    assert (recording.spikes["n"]["t"] // MS).tolist() == [1]
    assert (v, i) == ([0.0, -0.5, 1.25], [4.0, 3.0, 2.25])


def test_arithmetic_is_double_unless_said_otherwise() -> None:
    graph = model(nodes.CubaLIF, 0.1, tau_mem=3, v_threshold=1e3)
    double = states(graph, [1, 0])[0][1]
    single = states(graph.with_semantics(Semantics(profile="jaxsnn", dt_ns=MS, dtype="float32")), [1, 0])[0][1]
    assert double == pytest.approx(0.1 / 3, rel=1e-15)
    assert single != double
    assert single == pytest.approx(double, rel=1e-6)


def test_the_command_line_runs_a_file_as_jaxsnn_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """w above 4 thresholds fires a neuron of 20 and 10 ms, where steps are short; in seconds nothing would."""
    values = {
        "r": 3.0,
        "w_in": 7.0,
        "v_leak": 0.0,
        "v_threshold": 1.0,
        "v_reset": 0.0,
        "tau_mem": 20.0,
        "tau_syn": 10.0,
    }
    graph = nir.NIRGraph(
        nodes={
            "in": nir.Input({"input": np.array([2])}),
            "w": nir.Linear(np.diag([3.5, 4.5]).astype(np.float32)),
            "n": nir.CubaLIF(**{name: np.full(2, value) for name, value in values.items()}),
            "out": nir.Output({"output": np.array([2])}),
        },
        edges=[("in", "w"), ("w", "n"), ("n", "out")],
    )
    nir.write(tmp_path / "net.nir", graph)
    np.save(tmp_path / "in.npy", np.eye(1, 60, dtype=np.int64).T * np.ones((1, 2), np.int64))
    words = ["run", str(tmp_path / "net.nir"), "--device", "ideal", "--semantics", "jaxsnn", "--dt", "1ms", "--json"]
    assert command([*words, "--input", str(tmp_path / "in.npy")]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["outputs"]["out"]["counts"] == [0, 1]
    assert out["duration_ns"] == 60 * MS
