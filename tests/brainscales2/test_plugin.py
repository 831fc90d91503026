"""What the registry sees of BrainScaleS-2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import hal
from hal.errors import CapabilityError
from hal_brainscales2 import limits
from hal_brainscales2.plugin import CAPABILITIES, SPEC

HEAVY = {"numba", "scipy", "hal_emulators", "hal_brainscales2.mapper", "hal_brainscales2.device", "nir"}


def test_the_plugin_itself_imports_no_mapper_and_no_emulator() -> None:
    code = "import json, sys, hal_brainscales2.plugin; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=os.environ, capture_output=True, text=True,
                          timeout=120, check=True)  # fmt: skip
    assert not HEAVY & set(json.loads(done.stdout))


def test_the_spec_says_what_there_is() -> None:
    assert {row.name: (row.limit, row.unit, row.scope) for row in SPEC.resources} == {
        "circuits": ((512,), "circuits", "chip"),
        "synapse_rows": ((64,), "rows", "bus"),
        "drivers": ((32,), "drivers", "bus"),
        "fan_in": ((256,), "rows", "hemisphere"),
    }
    clock = SPEC.clock
    assert (clock.kind, clock.quantum_in_ns, clock.quantum_out_ns) == ("continuous", 8, 8)
    assert clock.max_run_ns == limits.MAX_RUN_CYCLES * limits.CYCLE_NS
    assert {seen.variable: seen.at_once for seen in SPEC.observables if seen.at_once} == {"v_madc": 2}
    period = {seen.variable: seen.period_ns for seen in SPEC.observables if seen.period_ns}
    assert period["v_madc"] == pytest.approx(1e9 / limits.MADC_RATE_HZ, abs=0.5)
    assert period["v_cadc"] == pytest.approx(1e9 / limits.CADC_RATE_HZ, abs=0.6)


def test_signals_and_integrators_are_of_the_chip_where_it_is_to_read_out(chip: Any, graph: Any) -> None:
    assert not {"neuron.integrator", "output.signal"} & CAPABILITIES
    assert {"reset.state", "reset.loaded", "reset.config", "map.like", "map.adopt", "map.edit"} <= CAPABILITIES
    model = graph.layer(np.ones((2, 2)))
    # it changes nothing for what fires
    assert chip.map(model, readout="chip").config == chip.map(model).config


def test_boards_are_not_driven_from_here(chip: Any) -> None:
    with pytest.raises(CapabilityError, match="boards are not driven from here") as caught:
        hal.open("brainscales2", kind="hardware")
    assert "open the emulator" in str(caught.value)
