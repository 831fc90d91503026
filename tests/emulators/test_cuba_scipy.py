"""Current-based neurons against scipy's solve_ivp: the equations written once more, integrated between inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from hal_emulators.cuba import Network, Neurons, Synapses

UNTIL = 60e-6
WITHIN_S = 1e-12


def reference(neurons: Neurons, n: int, inputs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Times and currents of one neuron's spikes; inputs are (time, weight). Integrated in units of tau_mem."""
    tau, ratio = float(neurons.tau_mem[n]), float(neurons.tau_mem[n] / neurons.tau_syn[n])
    leak, th, reset = (float(getattr(neurons, name)[n]) for name in ("v_leak", "v_th", "v_reset"))
    t_ref, hold = float(neurons.t_ref[n]) / tau, float(neurons.t_ref[n] - neurons.t_holdoff[n]) / tau

    def slopes(_: float, y: NDArray[np.float64], held: bool) -> list[float]:
        return [0.0 if held else leak - y[0] + y[1], -ratio * y[1]]

    def above(_: float, y: NDArray[np.float64], __: bool) -> float:
        return float(y[0] - th)

    above.direction = 1  # type: ignore[attr-defined]
    jumps: dict[float, float] = {}
    for t, w in inputs:
        jumps[t / tau] = jumps.get(t / tau, 0.0) + w
    times, currents = [], []
    y, t, held_until, blind_until, end = np.array([leak, 0.0]), 0.0, 0.0, 0.0, UNTIL / tau
    while t < end:
        stop = min([at for at in (*jumps, held_until, blind_until, end) if at > t])
        y[1] += jumps.pop(t, 0.0)
        above.terminal = t >= blind_until  # type: ignore[attr-defined]
        seen = solve_ivp(
            slopes, (t, stop), y, "DOP853", events=above, args=(t < held_until,), rtol=1e-12, atol=1e-14, max_step=0.25
        )
        assert seen.success
        y, t = seen.y[:, -1].copy(), float(seen.t[-1])
        if seen.status == 1:
            times.append(t * tau)
            currents.append(float(y[1]))
            y[0], held_until, blind_until = reset, t + hold, t + t_ref
    return times, currents


def draw(rng: np.random.Generator, n: int, **fixed: Any) -> Neurons:
    tau_mem = 10e-6 * 2 ** rng.uniform(-1, 1, n)
    t_ref = np.where(rng.random(n) < 0.5, rng.uniform(0.5e-6, 6e-6, n), 0.0)
    values = {
        "tau_mem": tau_mem,
        "tau_syn": tau_mem / 5 ** rng.uniform(-1, 1, n),
        "v_leak": rng.uniform(-0.5, 0.5, n),
        "v_th": rng.uniform(0.8, 1.3, n),
        "v_reset": rng.uniform(-1.0, 0.5, n),
        "t_ref": t_ref,
        "t_holdoff": t_ref * rng.uniform(0, 1, n),
    }
    return Neurons(size=n, **(values | fixed))


TONIC = np.array([1.02, 1.3, 2.0, 1.1, 1.5, 1.2])


@pytest.mark.parametrize(
    ("n", "fixed"),
    [
        (60, {}),
        (15, {"tau_mem": 9e-6, "tau_syn": 9e-6}),
        (15, {"tau_mem": 9e-6, "tau_syn": 9e-6 * (1 + 1e-9)}),
        (15, {"tau_mem": 20e-6, "tau_syn": 10e-6}),
        (15, {"tau_mem": 18e-6, "tau_syn": 6e-6}),
        (15, {"v_reset": 1.4, "t_ref": 0.0, "t_holdoff": 0.0}),
        (6, {"v_leak": TONIC, "v_th": 1.0}),
        (6, {"v_leak": TONIC, "v_th": 1.0, "tau_mem": 5e-6, "tau_syn": 5e-6}),
    ],
)
def test_spikes_are_where_scipy_finds_them(n: int, fixed: dict[str, Any]) -> None:
    rng = np.random.default_rng(n)
    neurons = draw(rng, n, **fixed)
    lines = 6
    weight = rng.normal(1.5, 2.5, (lines, n))
    net = Network(neurons, Synapses.chain(weight))
    times, channels = rng.uniform(0, UNTIL, 40), rng.integers(0, lines, 40)
    seen = net.run(UNTIL, times, channels)
    compared = 0
    for k in range(n):
        inputs = [(t, weight[c, k]) for t, c in zip(times.tolist(), channels.tolist(), strict=True)]
        expected, currents = reference(neurons, k, inputs)
        mine = seen.neuron == k
        assert mine.sum() == len(expected), k
        np.testing.assert_allclose(seen.t[mine], expected, rtol=0, atol=WITHIN_S, err_msg=f"neuron {k}")
        np.testing.assert_allclose(seen.i[mine], currents, rtol=0, atol=1e-6, err_msg=f"neuron {k}")
        compared += len(expected)
    assert compared > n // 2
