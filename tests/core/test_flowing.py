"""What rules come to without steps, and between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hal import nodes
from hal.flowing import flows, response
from hal.semantics import PROFILES, Semantics

Float = Any


def cuba(tau_mem: float = 20.0, tau_syn: float = 5.0, **values: float) -> nodes.CubaLIF:
    numbers = {"tau_mem": tau_mem, "tau_syn": tau_syn, "r": 3, "w_in": 7, "v_leak": 0, "v_threshold": 1, "v_reset": 0}
    fields = {key: np.array([float(value)]) for key, value in (numbers | values).items()}
    return nodes.CubaLIF(name="n", input_shape=(1,), output_shape=(1,), **fields)


def lif(tau: float = 20.0, r: float = 3.0) -> nodes.LIF:
    numbers = {"tau": tau, "r": r, "v_leak": 0, "v_threshold": 1, "v_reset": 0}
    fields = {key: np.array([float(value)]) for key, value in numbers.items()}
    return nodes.LIF(name="n", input_shape=(1,), output_shape=(1,), **fields)


def after(t: Float, made: Any) -> Float:
    """The membrane after an event at t = 0 (s)."""
    mem, syn = float(made.tau_mem[0]), float(made.tau_syn[0])
    if mem == syn:
        return made.area[0] * t * np.exp(-t / mem) / mem**2
    apart = (mem - syn) / (mem * syn)
    return made.area[0] * np.exp(-t / mem) * -np.expm1(-apart * t) / (mem - syn)


def euler(tau_mem: float, tau_syn: float, dt: float, steps: int) -> Float:
    """jaxsnn's discrete neuron after one event of weight 1 in step 0; all in ms."""
    v = i = 0.0
    out = []
    for k in range(steps):
        v, i = v + dt / tau_mem * (i - v), i - dt / tau_syn * i + (k == 0)
        out.append(v)
    return np.array(out)


@settings(deadline=None)
@given(st.floats(0.3, 80.0), st.floats(0.3, 80.0), st.floats(0.02, 0.9))
@example(20.0, 10.0, 0.1)
@example(20.0, 20.0, 0.1)
@example(68.0, 68.125, 0.004)
@example(20.0, 20.0 * (1 + 1e-9), 0.1)
def test_between_the_steps_of_jaxsnn_flow_two_exponentials_one_step_ahead(
    tau_mem: float, tau_syn: float, share: float
) -> None:
    """For any time constants that are longer than a step, alike or not."""
    dt_ns = max(1, round(share * min(tau_mem, tau_syn) * 1e6))
    node = cuba(tau_mem, tau_syn)
    made = response(node, Semantics(profile="jaxsnn"), dt_ns, 2e-4)
    wanted = euler(tau_mem, tau_syn, dt_ns * 1e-6, 40)
    assert not made.jump
    # at the end of step k the chip is where the model will be at the end of step k + 1
    assert wanted[0] == 0.0
    got = after(np.arange(1, 40) * dt_ns * 1e-9, made)
    np.testing.assert_allclose(got, wanted[1:], rtol=1e-6, atol=1e-9 * wanted.max())


@pytest.mark.parametrize("unit", ["ms", "s"])
@pytest.mark.parametrize("current_gain", ["one", "r", "r*dt/tau", "1-decay"])
@pytest.mark.parametrize("gain", ["r*dt/tau", "1-decay"])
def test_without_steps_is_what_ever_shorter_steps_come_to(unit: str, current_gain: str, gain: str) -> None:
    scale = {"ms": 1.0, "s": 1e-3}[unit]
    semantics = Semantics(profile="jaxsnn", tau_unit=unit, gain=gain, current_gain=current_gain)  # type: ignore[arg-type]
    node, dt_ns = cuba(20 * scale, 5 * scale), 100
    assert flows(node, semantics.rule(node))
    flowing, stepped = (response(node, semantics, dt, 2e-4) for dt in (None, dt_ns))
    # what holds dt/tau takes in an impulse of area 1 in the file's unit, one over dt for the length of a step
    dt = dt_ns * (1e-6 if unit == "ms" else 1e-9)
    impulse = 1 / dt if current_gain in ("r*dt/tau", "1-decay") else 1.0
    assert flowing.tau_mem[0] == pytest.approx(20e-3)
    assert flowing.tau_syn[0] == pytest.approx(5e-3)
    assert flowing.area[0] == pytest.approx(stepped.area[0] * impulse, rel=1e-4)
    # an event in every step is one over dt of them in a unit of time
    assert flowing.steady[0] == pytest.approx(stepped.steady[0] * impulse * dt, rel=1e-4)
    assert after(10e-3, flowing) == pytest.approx(after(10e-3, stepped) * impulse, rel=1e-4)


@pytest.mark.parametrize(("gain", "jump"), [("one", 1.0), ("r", 3.0), ("r*dt/tau", 3 / 20), ("1-decay", 1 / 20)])
def test_a_jump_of_a_neuron_without_current_lifts_its_membrane_as_high(gain: str, jump: float) -> None:
    semantics = Semantics(tau_unit="ms", gain=gain)  # type: ignore[arg-type]
    assert flows(lif(), semantics.rule(lif()))
    made = response(lif(), semantics, None, 2e-4)
    assert made.jump
    assert after(np.linspace(0, 5e-3, 200_001), made).max() == pytest.approx(jump, rel=1e-6)
    assert made.steady[0] == pytest.approx(jump * 20)


def test_of_the_profiles_two_need_no_step() -> None:
    for profile in PROFILES:
        rule = Semantics(profile=profile).rule(cuba())
        assert flows(cuba(), rule) == (profile in ("nir", "jaxsnn")), profile


@pytest.mark.parametrize(
    "words",
    [
        {"tau_unit": "steps"},
        {"tau_unit": "s*dt"},
        {"gain": "one", "current_gain": "one"},
        {"gain": "r", "current_gain": "one"},
        {"gain": "r*dt", "current_gain": "one"},
        {"gain": "r*dt/tau", "current_gain": "r*dt"},
    ],
)
def test_rules_that_steps_enter_do_not_flow(words: dict[str, Any]) -> None:
    assert not flows(cuba(), Semantics(**words).rule(cuba()))
    if "tau_unit" in words:
        assert not flows(lif(), Semantics(**words).rule(lif()))


def test_an_area_per_step_does_not_flow_for_neurons_without_current() -> None:
    assert not flows(lif(), Semantics(gain="r*dt").rule(lif()))
