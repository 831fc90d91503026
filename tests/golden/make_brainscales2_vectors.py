"""The vectors of BrainScaleS-2: a trained network's known spike times, and a recurrent network integrated by scipy.

    python tests/golden/make_brainscales2_vectors.py PLUGINS

writes them into PLUGINS/hal_brainscales2/vectors, PLUGINS being the folder of the plugins. yinyang: samples of
`brainscales2/yinyang_5_120_3.npz` one after the other, each when the one before is forgotten; times of its reference, a
closed form in float64 beside jaxsnn 0.3.0. recurrent: weights that are integers of the chip, refractory periods that
are whole cycles of its clock, so that nothing stands between the equations and the chip.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

import hal
from hal.evidence import write_vector

Floats = NDArray[np.float64]

HERE = Path(__file__).parent / "brainscales2"
SAMPLES, APART_NS = 12, 600_000
REFRACTORY_S = 30e-6
SCALE = 58.0
N_IN, N, UNTIL_NS = 6, 14, 400_000
TAU_MEM, TAU_SYN = 18e-6, 7e-6
T_REF = 32 * 64e-9
"""32 cycles of 64 ns, what the vendor's calibration makes of 2 us; held for all of them but one."""
HOLD = 31 * 64e-9


def yinyang() -> dict[str, Any]:
    """Samples one after the other: by then what is left of one is e^-50."""
    with np.load(HERE / "yinyang_5_120_3.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    graph = HERE / "yinyang_5_120_3.nir"
    model = hal.read_model(graph, hal.Semantics(profile="nir"))
    names = [node.name for node in model.populations() if node.type == "CubaLIF"]
    starts = np.arange(SAMPLES) * APART_NS
    when = (np.rint(arrays["in_time"][:SAMPLES] * 1e9).astype(np.int64) + starts[:, None]).ravel()
    return {
        "model": graph,
        "semantics": model.semantics,
        "source": "closed form in float64, beside jaxsnn 0.3.0",
        "stimulus": {model.inputs[0]: _sorted(when, arrays["in_idx"][:SAMPLES].ravel())},
        "duration_ns": SAMPLES * APART_NS,
        "spikes": {
            name: _first(arrays[f"ref_q_{key}_time"][:SAMPLES], starts)
            for name, key in ((names[0], "hidden"), ("output", "output"))
        },
        "options": {"refractory_s": dict.fromkeys(names, REFRACTORY_S), "speedup": 1.0},
        "open_options": {"preset": "ideal"},
        "window_ns": 1,
    }


def _first(times: Floats, starts: NDArray[np.int64]) -> Any:
    sample, n = np.nonzero(np.isfinite(times))
    return _sorted(np.floor(times[sample, n] * 1e9).astype(np.int64) + starts[sample], n)


def _sorted(t: Any, index: Any) -> Any:
    order = np.lexsort((index, t))
    return hal.events(t[order], index[order])


def recurrent(graph: Path, seed: int) -> dict[str, Any]:
    """Input -> neurons that excite and inhibit each other, without steps."""
    random = np.random.default_rng(seed)
    w_in = np.rint(random.uniform(-25, 63, (N, N_IN))) / SCALE
    rec = np.rint(np.where(random.random((N, N)) < 0.3, random.uniform(-63, 40, (N, N)), 0.0)) / SCALE
    # the largest weight of the chip, so that a scale of 58 fits
    w_in[0, 0] = 63 / SCALE
    w_in *= 3
    ones = np.ones(N)
    cells = nir.CubaLIF(
        tau_mem=TAU_MEM * ones, tau_syn=TAU_SYN * ones, r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones,
        w_in=TAU_SYN * ones,
    )  # fmt: skip
    nodes = {
        "input": nir.Input({"input": np.array([N_IN])}),
        "fc": nir.Linear(w_in),
        "cells": cells,
        "rec": nir.Linear(rec),
        "output": nir.Output({"output": np.array([N])}),
    }
    edges = [("input", "fc"), ("fc", "cells"), ("cells", "output"), ("cells", "rec"), ("rec", "cells")]
    nir.write(str(graph), nir.NIRGraph(nodes=nodes, edges=edges))
    when = np.sort(random.integers(0, UNTIL_NS, 260))
    channel = random.integers(0, N_IN, when.size)
    spikes = integrated(w_in, rec, when * 1e-9, channel, UNTIL_NS * 1e-9)
    times, index = np.array([t for t, _ in spikes]), np.array([n for _, n in spikes])
    return {
        "model": graph,
        "semantics": hal.Semantics(profile="nir"),
        "source": "scipy.integrate.solve_ivp, DOP853, on the equations of docs/chips/brainscales2.md",
        "stimulus": {"input": _sorted(when, channel)},
        "duration_ns": UNTIL_NS,
        "spikes": {"output": _sorted(np.floor(times * 1e9).astype(np.int64), index)},
        "options": {"refractory_s": {"cells": 2e-6}, "speedup": 1.0, "scale": SCALE, "copies": {"fc": 3}},
        "open_options": {"preset": "ideal"},
        "window_ns": 1,
    }


def integrated(w_in: Floats, rec: Floats, when: Floats, channel: Any, until: float) -> list[tuple[float, int]]:
    """Times and neurons of all spikes: the ODE from one event to the next, whatever comes first."""
    v, i, t = np.zeros(N), np.zeros(N), 0.0
    held, blind = np.zeros(N), np.zeros(N)
    waiting = list(zip(when.tolist(), channel.tolist(), strict=True))
    found: list[tuple[float, int]] = []
    while t < until:
        stops = [until, *(x for x in (*held, *blind) if x > t), *([waiting[0][0]] if waiting else [])]
        stop = min(stops)
        free, ready = held <= t, blind <= t
        first = None
        if stop > t:
            v, i, t, first = _segment(v, i, t, stop, free, ready)
        if first is not None:
            found.append((t, first))
            v[first], held[first], blind[first] = 0.0, t + HOLD, t + T_REF
            i = i + rec[:, first]
        while waiting and waiting[0][0] <= t and first is None:
            i = i + w_in[:, waiting.pop(0)[1]]
    return found


def _segment(
    v: Floats, i: Floats, t: float, stop: float, free: Any, ready: Any
) -> tuple[Floats, Floats, float, int | None]:
    """To `stop`, or to the first spike."""

    def slopes(_: float, y: Floats) -> Floats:
        return np.concatenate([np.where(free, y[N:] - y[:N], 0.0) / TAU_MEM, -y[N:] / TAU_SYN])

    def crossing(n: int) -> Any:
        def event(_: float, y: Floats) -> float:
            return float(y[n] - 1.0)

        event.terminal, event.direction = True, 1  # type: ignore[attr-defined]
        return event

    at = np.flatnonzero(ready & free).tolist()
    seen = solve_ivp(
        slopes, (t, stop), np.concatenate([v, i]), "DOP853", events=[crossing(n) for n in at], rtol=1e-12, atol=1e-14,
        max_step=2e-6,
    )  # fmt: skip
    fired = [n for n, times in zip(at, seen.t_events, strict=True) if len(times)] if seen.status == 1 else []
    y = seen.y[:, -1]
    return y[:N].copy(), y[N:].copy(), float(seen.t[-1]), fired[0] if fired else None


def vectors(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, arguments of `write_vector` besides folder and name) of each."""
    yield "yinyang", yinyang()
    yield "recurrent_ode", recurrent(folder / "recurrent_ode.nir", seed=4)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for name, about in vectors(Path(temporary)):
            made = write_vector(Path(sys.argv[1]) / "hal_brainscales2" / "vectors", name, **about)
            print(f"{name}: {sum(train.size for train in made.spikes.values())} spikes")
