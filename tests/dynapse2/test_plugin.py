"""What the registry sees of DYNAP-SE2, and what the suite gets from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import hal
from hal.errors import CapabilityError, ConfigError, OptionalDependencyError
from hal_dynapse2 import hardware, limits, pairs
from hal_dynapse2.plugin import CHIP, SIMULATOR

HEAVY = {"numba", "scipy", "h5py", "hal_emulators", "hal_dynapse2.mapper", "hal_dynapse2.device", "samna", "nir"}


def test_importing_the_plugin_imports_no_mapper_emulator_or_anything_heavy() -> None:
    code = "import json, sys, hal_dynapse2.plugin; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=os.environ, capture_output=True, text=True,
                          timeout=120, check=True)  # fmt: skip
    assert not HEAVY & set(json.loads(done.stdout))


@pytest.mark.parametrize("spec", [CHIP, SIMULATOR], ids=lambda spec: spec.name)
def test_the_registry_has_the_specs(spec: Any) -> None:
    from hal import registry

    assert registry.spec(spec.name) == spec
    assert {row.name: row.limit for row in spec.resources} == {
        "cores": (4,), "neurons": (256,), "CAM entries": (64,), "SRAM entries": (4,), "tags": (2048,),
    }  # fmt: skip
    assert spec.approximates == {"neuron.lif": "synapse"}


def test_the_chip_flows_and_the_simulator_steps() -> None:
    assert (CHIP.clock.kind, CHIP.clock.quantum_in_ns, CHIP.clock.quantum_out_ns) == ("continuous", 1000, 1000)
    assert SIMULATOR.clock.kind == "clocked"
    assert SIMULATOR.loads == ("dynapse2",)
    assert CHIP.loads == ()
    assert (CHIP.kinds, SIMULATOR.kinds) == (("emulator", "hardware"), ("emulator",))
    (probe,) = [seen for seen in CHIP.observables if seen.variable == "imem"]
    assert (probe.at_once, probe.scope) == (1, "core")
    assert all(seen.at_once is None for seen in SIMULATOR.observables)


def test_the_chip_does_not_take_mappings_of_the_simulator(net: Any) -> None:
    mapping = hal.mapper("dynapse2-dynapsim").map(net.layer([[0.5]]).model)
    with hal.open("dynapse2") as device, pytest.raises(ConfigError, match="dynapse2-dynapsim"):
        device.load(mapping)


def test_the_simulator_needs_steps_from_the_mapper_on(net: Any) -> None:
    plain = {"dt_ns": None, "decay": "euler", "gain": "r*dt/tau", "current_gain": "r*dt/tau"}
    report = hal.mapper("dynapse2-dynapsim").check(net.layer([[0.02]], semantics=plain).model)
    assert not report.fits
    assert any("dt" in f.field + f.reason for f in report.refused)


def test_the_simulator_says_that_its_rule_is_another(net: Any) -> None:
    report = hal.mapper("dynapse2-dynapsim").check(net.chain([[0.5]], [[0.5]]).model)
    told = [(f.node, f.wanted, f.realised) for f in report.changed if f.field == "rule"]
    assert told == [("n0", "as in the model", "DynapSim"), ("n1", "as in the model", "DynapSim")]


@pytest.mark.parametrize("name", ["dynapse2", "dynapse2-dynapsim"])
def test_options_there_are_not_are_refused_on_opening(name: str) -> None:
    with pytest.raises(ConfigError, match="speed"):
        hal.open(name, speed=2)


def test_artefacts_beyond_their_range_are_all_named() -> None:
    wrong = {"mismatch": 0.5, "lost_events": 1.5, "double_spikes": -0.1, "dead_cam": 2.0, "bus_capacity": 0}
    with pytest.raises(ConfigError) as caught:
        hal.open("dynapse2", **wrong)
    assert {p.where for p in caught.value.problems} == set(wrong)


def test_hardware_needs_the_vendors_package_and_then_says_that_boards_are_not_driven(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(OptionalDependencyError, match="samna is not installed") as missing:
        hal.open("dynapse2", kind="hardware")
    assert "hal export" in str(missing.value.hint)
    monkeypatch.setattr("hal.vendor.require", lambda *_: None)
    with pytest.raises(CapabilityError, match="not available yet") as caught:
        hardware.refuse(CHIP)
    assert caught.value.hint == hardware.WAY
    with pytest.raises(CapabilityError):
        hal.open("dynapse2-dynapsim", kind="hardware")


def test_both_sides_of_each_limit_are_one_apart() -> None:
    mapper = hal.mapper("dynapse2")
    for pair in pairs.limits():
        assert mapper.check(pair.fits, pair.options).fits, pair.resource
        rows = [row for row in mapper.check(pair.over, pair.options).rows if not row.ok]
        assert {row.resource for row in rows} == {pair.resource}
        assert [row.needed - row.limit for row in rows] == [1]


def test_numbers_of_the_fact_sheet() -> None:
    assert (limits.CORES, limits.NEURONS, limits.CAM_ENTRIES, limits.SRAM_ENTRIES) == (4, 256, 64, 4)
    assert (limits.TAGS, limits.MAX_HOP, limits.CONTROL_TAG, len(limits.LATCHES)) == (2048, 7, 2047, 14)
    assert limits.DENDRITES == {"none": 0, "shunt": 128, "nmda": 256, "gaba": 512, "ampa": 1024}


def test_lif_neurons_fire_as_often_as_the_models_by_a_short_current(net: Any, chip: Any) -> None:
    from hal import nodes

    made = net.layer([[0.3]], kind=nodes.LIF)
    mapping = chip.map(made, approximate=["synapse"])
    stimulus = {"in": chip.regular(200, 500)}
    got = chip.run(mapping, stimulus, 500 * chip.step).spikes["out"].size
    ideal = hal.mapper("ideal").map(mapping.realised_model())
    wanted = chip.run(ideal, stimulus, 500 * chip.step, "ideal").spikes["out"].size
    assert wanted > 10
    assert got == pytest.approx(wanted, rel=0.1)
    assert mapping.realised["fc", "weight"][0, 0] == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("entries", [2, 8])
def test_more_entries_are_taken_as_far_as_there_is_room(net: Any, chip: Any, entries: int) -> None:
    weight = np.random.default_rng(0).uniform(0.05, 1, (4, 60))
    one, more = (chip.map(net.layer(weight), entries=k) for k in (1, entries))
    assert (more.config.cam.mask > 0).sum(axis=1).max() <= 64
    off = [np.linalg.norm(m.realised["fc", "weight"] - weight) for m in (one, more)]
    assert off[1] < off[0]
