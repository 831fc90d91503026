"""What the registry sees of the family."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import hal
from hal import registry
from hal.capabilities import VOCABULARY
from hal.errors import CapabilityError
from hal_dynapcnn import chips, plugin
from hal_dynapcnn.config import SpeckConfig
from hal_dynapcnn.options import SpeckMapOptions, SpeckOpenOptions


def test_six_chips_and_their_boards() -> None:
    assert [spec.name for spec in plugin.hal_devices()] == [*chips.CHIPS]
    names = {alias: spec.name for spec in plugin.SPECS for alias in spec.aliases}
    assert names == dict(chips.ALIASES)


@pytest.mark.parametrize("spec", plugin.SPECS, ids=lambda spec: spec.name)
def test_a_spec_says_what_the_table_says(spec: Any) -> None:
    table = chips.CHIPS[spec.name]
    limits = {resource.name: resource.limit for resource in spec.resources}
    assert limits["cores"] == (table.n_cores,)
    assert limits["kernel memory"] == table.kernel_words
    assert limits["neuron memory"] == table.neuron_words
    assert limits["bias memory"] == table.bias_words
    assert limits["synops/s"] == (chips.SYNOPS_PER_S,) * table.n_cores
    (running,) = [resource for resource in spec.resources if resource.when == "run"]
    assert running.name == "synops/s"
    assert running.source.startswith("assumption: ")
    assert spec.cores == table.n_cores
    assert all(resource.source for resource in spec.resources)
    assert spec.clock.kind == "event"
    words = [o for o in spec.observables if o.variable == "readout"]
    assert len(words) == (1 if table.readout else 0)
    assert all((word.per, word.at_once) == ("node", 1) for word in words)
    assert spec.capabilities <= set(VOCABULARY)
    assert (spec.config, spec.map_options, spec.open_options) == (SpeckConfig, SpeckMapOptions, SpeckOpenOptions)
    assert [port.name for port in spec.ports] == ["@dvs", "@slow_clock"]
    assert {column.name for column in spec.placement_extras} == {"feature", "y", "x"}


@pytest.mark.parametrize("name", [*chips.CHIPS, *chips.ALIASES])
def test_every_name_opens(name: str) -> None:
    with hal.open(name) as device:
        assert device.spec.name == chips.chip(name).name
        assert device.kind == "emulator"
    assert hal.mapper(name).spec.name == chips.chip(name).name


def test_what_is_not_declared_is_refused(speck: Any, chain: Any) -> None:
    mapping = speck.map(chain(1, 1, 1).relay().fire(1, "n").model())
    assert "profile" not in plugin.CAPABILITIES
    with pytest.raises((CapabilityError, hal.ConfigError)):
        hal.open("speck2f", profile={"id": "x"})
    with pytest.raises(hal.ConfigError, match="no such option"):
        hal.open("speck2f", noise=1)
    assert mapping.device == "speck2f"


def test_reasons_name_what_the_spec_declares(speck: Any, chain: Any) -> None:
    """Every row of a report is a resource of the spec, in its unit; every stat is a declared counter."""
    made = chain(2, 9, 9).relay().fire(1, "m").pool(2).relay().fire(1, "n")
    model = made.model()
    mapping = speck.map(model)
    spec = hal.mapper("speck2f").spec
    units = {(resource.name, resource.unit, resource.when) for resource in spec.resources}
    rates = {"input": 1.0, "m": 1.0}
    rows = hal.mapper("speck2f").check(model, rates_hz=rates).rows
    assert {(row.resource, row.unit, row.when) for row in rows} == units
    assert {(row.resource, row.unit, row.when) for row in mapping.fit.rows} == {u for u in units if u[2] == "map"}
    assert set(speck.run(mapping, [0]).stats) == set(spec.all_counters)


def test_info_lists_the_family() -> None:
    listed = {listing.name for listing in registry.devices() if listing.family == "dynapcnn"}
    assert listed >= {*chips.CHIPS}
    for name in chips.CHIPS:
        assert registry.spec(name).family == "dynapcnn"


def test_the_plugin_imports_no_emulator() -> None:
    code = (
        "import sys, hal_dynapcnn.plugin; "
        "print(sorted({'numba', 'hal_emulators', 'hal_dynapcnn.device', 'hal_dynapcnn.mapper'} & set(sys.modules)))"
    )
    program = f"import sys; sys.path[:] = {[*sys.path]!r}; {code}"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
