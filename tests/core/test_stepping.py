"""Time constants and factors per step: one is the inverse of the other, in every unit and by every formula."""

from __future__ import annotations

import numpy as np
import pytest

from hal.nodes import LIF
from hal.semantics import Semantics
from hal.stepping import per_step, step_in, time_constant

MS = 1_000_000


@pytest.mark.parametrize("unit", ["s", "ms", "steps", "s*dt"])
@pytest.mark.parametrize("decay", ["exp", "euler", "1-dt/tau"])
def test_a_time_constant_is_what_its_factor_means(unit: str, decay: str) -> None:
    step = step_in(unit, MS)
    tau = np.array([2.0, 10.0, 1000.0, np.inf]) * (step * step if unit == "s*dt" else step)
    ones = np.ones(tau.size)
    node = LIF(
        name="n",
        input_shape=tau.shape,
        output_shape=tau.shape,
        tau=tau,
        r=ones,
        v_leak=0 * ones,
        v_threshold=ones,
        v_reset=0 * ones,
    )
    numbers = per_step(node, Semantics.from_json({"dt_ns": MS, "tau_unit": unit, "decay": decay}), MS)
    assert numbers.decay[-1] == 1
    assert np.allclose(time_constant(numbers.rule, numbers.decay, MS), tau, rtol=1e-9)
