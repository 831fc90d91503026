"""The golden graphs of BrainScaleS-2 in steps, on the reference: near the exact spike times, and what that takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal.semantics import Semantics

HERE = Path(__file__).parent / "brainscales2"
END_NS = 60_000
Times = Any


def first(sample: Any, index: Any, t: Any, samples: int, size: int) -> Times:
    """(samples, neurons) first spike times, ns; inf: silent."""
    out = np.full((samples, size), np.inf)
    np.minimum.at(out, (sample, index), t)
    return out


def golden(arrays: Any, layer: int) -> Times:
    t, index = arrays[f"ref{layer}_time"], arrays[f"ref{layer}_idx"]
    sample, at = np.nonzero(np.isfinite(t) & (t * 1e9 < END_NS))
    return first(sample, index[sample, at], t[sample, at] * 1e9, len(t), arrays[f"w{layer}"].shape[1])


def steps(name: str, semantics: Semantics) -> list[Times]:
    """Of each layer the (samples, neurons) first spikes minus the exact ones, in steps; all those fire that should."""
    dt_ns: Any = semantics.dt_ns
    with np.load(HERE / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    model = hal.read_model(HERE / f"{name}.nir", semantics)
    layers = [f"lif{k}" for k in range(sum(key.startswith("w") for key in arrays))]
    rasters = np.zeros((len(arrays["in_time"]), END_NS // dt_ns, len(arrays["w0"])))
    sample, at = np.nonzero(arrays["in_time"] * 1e9 < END_NS)
    row = np.floor(arrays["in_time"][sample, at] * 1e9 / dt_ns).astype(np.int64)
    np.add.at(rasters, (sample, row, arrays["in_idx"][sample, at]), 1.0)
    # as a signal, an event is an impulse of area 1 s: one over a step high
    given = rasters * 1e9 / dt_ns if semantics.signals else rasters.astype(np.int64)
    with hal.open("ideal") as chip:
        chip.load(hal.mapper("ideal").map(model, record=layers))
        seen = chip.run_batch({"input": [*given]}, END_NS)
    out = []
    for k, layer in enumerate(layers):
        wanted = golden(arrays, k)
        train = seen.spikes[layer]
        which = np.repeat(np.arange(len(wanted)), np.diff(train.splits))
        got = first(which, train.events["index"], train.events["t"], *wanted.shape)
        assert (np.isfinite(got) == np.isfinite(wanted)).all()
        fired = np.isfinite(wanted)
        out.append((got[fired] - wanted[fired]) / dt_ns)
    return out


# stamps are starts of steps, and inputs are, too: half a step each; the rest is of Euler's method, most for crossings
# that graze
@pytest.mark.parametrize("dt_ns", [10, 20, 50, 100])
@pytest.mark.parametrize("name", ["lif1_tau1", "lif1_tau2"])
def test_the_equations_of_nir_under_impulses_fire_when_the_chip_does(name: str, dt_ns: int) -> None:
    """Profile nir, as it stands: w_in = tau_syn makes an impulse of area 1 s leave the weight on the current."""
    (off,) = steps(name, Semantics(profile="nir", dt_ns=dt_ns, signals={"input"}, dtype="float64"))
    assert off.size == 6
    assert abs(off + 1.5).max() < 1.0


@pytest.mark.parametrize("dt_ns", [20, 50])
def test_two_layers_fire_when_the_chip_does_where_an_event_leaves_its_weight(dt_ns: int) -> None:
    plain = Semantics(profile="nir", dt_ns=dt_ns, current_gain="one", dtype="float64")
    hidden, out = steps("ff_4_10_3", plain)
    assert (hidden.size, out.size) == (151, 32)
    for off in (hidden, out):
        assert abs(np.median(off) + 1.5) < 0.5
        assert abs(off + 1.5).max() < 3.5


@pytest.mark.parametrize("name", ["lif1_tau1", "lif1_tau2", "ff_4_10_3"])
def test_jaxsnn_in_seconds_needs_no_more_said(name: str) -> None:
    """One step later than NIR's equations in each layer, so nearer to where the chip is."""
    plain = Semantics(profile="jaxsnn", tau_unit="s", dt_ns=50)
    nir = Semantics(profile="nir", dt_ns=50, current_gain="one", dtype="float64")
    for k, (ours, theirs) in enumerate(zip(steps(name, plain), steps(name, nir), strict=True)):
        assert np.median(ours - theirs) == k + 1
        assert abs(np.median(ours)) < 0.6


def test_a_unit_event_in_a_step_of_nir_leaves_its_weight_times_dt() -> None:
    """Its current jumps by w dt: in profile nir events are values for the length of a step, not impulses."""
    plain = Semantics(profile="nir", dt_ns=100, dtype="float64")
    model = hal.read_model(HERE / "lif1_tau2.nir", plain)
    weight = float(model.nodes["fc0"].weight[0, 0])  # type: ignore[attr-defined]
    for semantics, jump in ((plain, weight * 100e-9), (attrs.evolve(plain, current_gain="one"), weight)):
        given = model.with_semantics(semantics)
        mapping = hal.mapper("ideal").map(given, record=[hal.Probe("lif0", "i", every_ns=100)])
        with hal.open("ideal") as chip:
            chip.load(mapping)
            trace = chip.run({"input": hal.events([0], [0])}, 100).traces["lif0", "i"]
        assert trace.values[0, 0] == pytest.approx(jump, rel=1e-6)
