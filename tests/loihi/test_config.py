"""The registers as data: every range at its bounds and one beyond, rules between arrays, JSON there and back."""

from __future__ import annotations

import json
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal import config as hal_config
from hal.config.fields import fields_of
from hal.errors import ConfigError
from hal_loihi.config import (
    CompartmentsConfig,
    CoresConfig,
    GroupsConfig,
    InputConfig,
    LoihiConfig,
    PopulationConfig,
    SynapsesConfig,
)
from hal_loihi.options import LoihiMapOptions, LoihiOpenOptions

SHEET: dict[str, dict[str, tuple[int, int]]] = {
    "compartments": {
        "decay_u": (0, 4095), "decay_v": (0, 4095), "vth_mant": (1, 131071), "bias_mant": (-4096, 4095),
        "bias_exp": (0, 7), "refract_delay": (1, 63),
    },
    "cores": {
        "chip": (0, 1023), "core": (0, 127), "vmin_exp": (0, 23), "vmax_exp": (0, 7), "noise_exp": (1, 23),
        "noise_offset": (-64, 64),
    },
    "groups": {"weight_exp": (-7, 7), "num_weight_bits": (1, 8), "sign_mode": (0, 2)},
    "synapses": {"delay": (0, 62)},
}  # fmt: skip
"""Ranges of the chip, by part and register."""
FREE = {"core", "indptr", "target", "group", "mantissa", "enable_noise", "noise_at_membrane"}
"""Rows, flags, and mantissas, whose range depends on the sign mode."""


def made(n: int = 2, cores: int = 1, synapses: int = 3, inputs: int = 2) -> LoihiConfig:
    """A valid network: all synapses are of the first input."""
    full = {name: np.full(n, max(low, 0)) for name, (low, _) in SHEET["compartments"].items()}
    of_core: dict[str, Any] = {name: np.full(cores, max(low, 0)) for name, (low, _) in SHEET["cores"].items()}
    of_core |= {"core": np.arange(cores), "enable_noise": np.zeros(cores, bool)}
    return LoihiConfig(
        inputs=(InputConfig(name="in", shape=(inputs,)),),
        populations=(PopulationConfig(name="n", first=0, shape=(n,)),),
        compartments=CompartmentsConfig(core=np.zeros(n, int), **full),
        cores=CoresConfig(noise_at_membrane=np.zeros(cores, bool), **of_core),
        groups=GroupsConfig(weight_exp=[0], num_weight_bits=[8], sign_mode=[0]),
        synapses=SynapsesConfig(
            indptr=[0] + [synapses] * (inputs + n),
            target=np.zeros(synapses, int),
            mantissa=np.full(synapses, 2),
            group=np.zeros(synapses, int),
            delay=np.zeros(synapses, int),
        ),
    )


def said(config: LoihiConfig, part: str = "", **changes: Any) -> list[Any]:
    """Problems of the config with fields of one part changed."""
    inner: Any = attrs.evolve(getattr(config, part), **changes) if part else None
    changed: Any = {part: inner} if part else changes
    return hal_config.problems(attrs.evolve(config, **changed))


def test_the_table_is_whole() -> None:
    config = made()
    assert not hal_config.problems(config)
    for part, ranges in SHEET.items():
        names = {name for name, _, _ in fields_of(type(getattr(config, part)))}
        assert names - FREE == ranges.keys() - FREE, part


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, ranges in SHEET.items() for name in ranges])
def test_registers_at_their_bounds_and_one_beyond(part: str, name: str) -> None:
    config, (low, high) = made(), SHEET[part][name]
    size = getattr(getattr(config, part), name).size
    for value in (low, high):
        if (part, name) != ("groups", "sign_mode"):
            assert not said(config, part, **{name: np.full(size, value)})
    beyond: tuple[float, ...] = (low - 1, high + 1, 0.5)
    for wrong in beyond:
        values = np.full(size, wrong)
        problems = [p for p in said(config, part, **{name: values}) if p.where.startswith(f"{part}.{name}")]
        assert problems, wrong


def test_seven_weight_bits_do_not_exist() -> None:
    for bits in range(1, 9):
        assert bool(said(made(), "groups", num_weight_bits=[bits])) is (bits == 7)


@pytest.mark.parametrize(
    ("mode", "good", "bad"),
    [(0, (-256, 254, 0), (-257, 256, 1)), (1, (0, 255), (-1, 256)), (2, (-256, 0), (-257, 1))],
)
def test_mantissas_of_each_sign_mode(mode: int, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    config = attrs.evolve(made(), groups=GroupsConfig(weight_exp=[0], num_weight_bits=[8], sign_mode=[mode]))
    for mantissa in good:
        assert not said(config, "synapses", mantissa=np.full(3, mantissa))
    for mantissa in bad:
        assert any("mantissa" in p.where for p in said(config, "synapses", mantissa=np.full(3, mantissa)))


@pytest.mark.parametrize("part", ["compartments", "cores", "groups", "synapses"])
def test_arrays_of_one_part_have_one_length(part: str) -> None:
    """Said of every field, and nothing else raises."""
    config = made()
    names = [name for name, _, _ in fields_of(type(getattr(config, part))) if name != "indptr"]
    for name in names:
        values = getattr(getattr(config, part), name)
        problems = said(config, part, **{name: np.concatenate([values, values])})
        assert any(p.what == "one value each" and p.where.startswith(part) for p in problems), name


@pytest.mark.parametrize(
    ("part", "changes", "where", "limit"),
    [
        ("compartments", {"core": [0, 1]}, "compartments.core", "0..0"),
        ("synapses", {"target": [0, 2, 1]}, "synapses.target", "0..1"),
        ("synapses", {"group": [0, 0, 1]}, "synapses.group", "0..0"),
        ("synapses", {"indptr": [0, 3, 3, 3]}, "synapses.indptr", "5"),
        ("synapses", {"indptr": [0, 3, 2, 3, 3]}, "synapses.indptr", "None"),
        ("synapses", {"indptr": [0, 2, 2, 2, 2]}, "synapses.indptr", "0..3"),
        ("synapses", {"indptr": [1, 3, 3, 3, 3]}, "synapses.indptr", "0..3"),
        ("synapses", {"indptr": []}, "synapses.indptr", "0..3"),
    ],
)
def test_rows_that_do_not_exist(part: str, changes: Any, where: str, limit: str) -> None:
    found = [(p.where, str(p.limit)) for p in said(made(), part, **changes)]
    assert (where, limit) in found


def test_populations_follow_each_other_and_cover_all() -> None:
    def runs(*spans: tuple[str, int, int]) -> list[Any]:
        populations = tuple(PopulationConfig(name=name, first=first, shape=(n,)) for name, first, n in spans)
        return [(p.where, p.value, p.limit) for p in said(made(n=4), populations=populations)]

    assert not runs(("a", 0, 3), ("b", 3, 1))
    assert runs(("a", 0, 3)) == [("populations", 3, 4)]
    assert runs(("a", 0, 2), ("b", 3, 1)) == [("populations 'b'", 3, 2)]
    assert runs(("a", 0, 3), ("a", 3, 1)) == [("populations", "a", None)]
    assert runs(("a", 0, 3), ("in", 3, 1)) == [("populations", "in", None)]


def test_a_core_has_one_row() -> None:
    config = made(cores=2)
    assert any(p.where == "cores.core" for p in said(config, "cores", core=[3, 3]))
    assert not said(config, "cores", core=[3, 3], chip=[0, 1])
    assert config.places.tolist() == [0, 1]


def test_a_network_has_compartments() -> None:
    (problem,) = hal_config.problems(LoihiConfig())
    assert problem.where == "compartments"


def test_full_integers() -> None:
    config = made()
    one = attrs.evolve(config.compartments, vth_mant=[1, 131071], bias_mant=[-4096, 4095], bias_exp=[7, 7])
    assert one.vth.tolist() == [64, 8388544]
    assert one.bias.tolist() == [-524288, 524160]
    cores = attrs.evolve(made(cores=3).cores, vmin_exp=[0, 10, 23], vmax_exp=[0, 4, 7])
    assert cores.vmin.tolist() == [0, -1023, -8388607]
    assert cores.vmax.tolist() == [511, 131071, 8388607]
    groups = GroupsConfig(weight_exp=[-3, 7, 0], num_weight_bits=[8, 8, 8], sign_mode=[2, 2, 1])
    synapses = attrs.evolve(config.synapses, mantissa=[-101, -256, 255], group=[0, 1, 2])
    assert attrs.evolve(config, groups=groups, synapses=synapses).weights().tolist() == [-832, -2097088, 16320]


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_json_there_and_back(data: st.DataObject) -> None:
    n, cores, synapses, inputs = (data.draw(st.integers(1, 5)) for _ in range(4))
    config = made(n, cores, synapses, inputs)
    for part in ("compartments", "cores"):
        values = {
            name: data.draw(st.lists(st.integers(low, high), min_size=size, max_size=size))
            for name, (low, high) in SHEET[part].items()
            for size in [n if part == "compartments" else cores]
            if name != "core"
        }
        config = attrs.evolve(config, **{part: attrs.evolve(getattr(config, part), **values)})
    assert not hal_config.problems(config)
    text = json.dumps(hal_config.to_json(config))
    assert hal_config.from_json(LoihiConfig, json.loads(text)) == config


@pytest.mark.parametrize(
    ("cls", "changes", "where"),
    [
        (LoihiMapOptions, {"chips": 0}, "chips"),
        (LoihiMapOptions, {"chips": 1025}, "chips"),
        (LoihiMapOptions, {"cores_per_chip": 0}, "cores_per_chip"),
        (LoihiMapOptions, {"cores_per_chip": 129}, "cores_per_chip"),
        (LoihiMapOptions, {"block_shape": {"n": (2, 0)}}, "block_shape"),
        (LoihiMapOptions, {"refract_delay": {"n": 0}}, "refract_delay"),
        (LoihiMapOptions, {"refract_delay": {"n": 64}}, "refract_delay"),
        (LoihiMapOptions, {"allocator": "metis"}, "allocator"),
        (LoihiMapOptions, {"approximate": {"leak"}}, "approximate"),
        (LoihiOpenOptions, {"overflow": "saturate"}, "overflow"),
        (LoihiOpenOptions, {"max_input_spikes_per_step": -1}, "max_input_spikes_per_step"),
        (LoihiOpenOptions, {"v_register": "raw"}, "v_register"),
    ],
)
def test_options_out_of_range(cls: type[Any], changes: Any, where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        hal_config.build(cls, changes, "the options")
