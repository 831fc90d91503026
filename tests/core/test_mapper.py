"""Mapping: check and map are one plan, every reason at once, and what may be asked for."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal import Clock, nodes, registry
from hal.errors import CapabilityError, ConfigError, DoesNotFitError
from hal.fit import Finding, Observable
from hal.mapper import Mapper, Plan
from hal.mapping import Placement

DEVICES = [listing.name for listing in hal.devices()]


def reasons(report: Any) -> set[tuple[str, str]]:
    return {(f.node, f.field) for f in report.refused}


# --- check and map ---------------------------------------------------------------------------------------------------


def some_models(net: Any) -> dict[str, Any]:
    cuba = net.neuron(nodes.CubaLIF, "cuba", 2, tau_mem=5, tau_syn=5)
    loop = [net.input("input", 2), net.spiking("a", 2), net.linear("back", np.eye(2)), net.output("output", 2)]
    return {
        "relay": net.relay(),
        "readout": net.readout(),
        "encoder": net.encoder(),
        "no dt": net.relay(dt_ns=None),
        "cuba": net.chain(net.input("input", 2), cuba, net.output("output", 2)),
        "loop": net.model(loop, [("input", "a"), ("a", "back"), ("back", "a"), ("a", "output")]),
        "delay": net.chain(
            net.input("input", 1), net.delay("late", 2.5), net.spiking("a", 1), net.output("output", 1)
        ),
        "too large": net.chain(
            net.input("input", 2), net.linear("fc", np.ones((70_000, 2))), net.spiking("a", 70_000),
            net.output("output", 70_000),
        ),
        "weights at the end": net.chain(
            net.input("input", 2), net.spiking("a", 2), net.linear("w", [[0.5, 1.0]]), net.output("output", 1)
        ),
    }  # fmt: skip


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("which", ["relay", "readout", "encoder", "no dt", "cuba", "loop", "delay", "too large"])
def test_check_and_map_agree(net: Any, device: str, which: str) -> None:
    model = some_models(net)[which]
    mapper = hal.mapper(device)
    report = mapper.check(model)
    if report.fits:
        mapping = mapper.map(model)
        assert mapping.fit == report
        assert report.problems() == []
    else:
        with pytest.raises(DoesNotFitError) as caught:
            mapper.map(model)
        assert caught.value.report == report
        assert len(caught.value.problems) == len([r for r in report.rows if not r.ok]) + len(report.refused) > 0
        for problem in caught.value.problems:
            assert str(problem) in str(caught.value)


def test_what_fits_where(net: Any) -> None:
    fits = {
        (device, which): hal.mapper(device).check(model).fits
        for device in ("ideal", "speck2f")
        for which, model in some_models(net).items()
    }
    assert fits == {
        ("ideal", "relay"): True, ("speck2f", "relay"): True,
        ("ideal", "readout"): True, ("speck2f", "readout"): True,
        ("ideal", "encoder"): True, ("speck2f", "encoder"): True,
        ("ideal", "no dt"): False, ("speck2f", "no dt"): True,
        ("ideal", "cuba"): True, ("speck2f", "cuba"): False,
        ("ideal", "loop"): True, ("speck2f", "loop"): True,
        ("ideal", "delay"): False, ("speck2f", "delay"): False,
        ("ideal", "too large"): True, ("speck2f", "too large"): False,
        ("ideal", "weights at the end"): True, ("speck2f", "weights at the end"): True,
    }  # fmt: skip


def test_every_reason_at_once(net: Any, toys: Any) -> None:
    toys.add(clock=hal.Clock(kind="clocked"), capabilities=toys.ALL - {"neuron.lif", "route.merge"})
    parts = [
        net.input("input", 65),
        net.spiking("a", 65),
        net.neuron(nodes.LIF, "b", 65),
        net.spiking("c", 65),
        net.output("output", 65),
    ]
    edges = [("input", "a"), ("input", "b"), ("a", "c"), ("b", "c"), ("c", "output")]
    with pytest.raises(DoesNotFitError) as caught:
        hal.mapper("toy").map(net.model(parts, edges, dt_ns=None))
    report = caught.value.report
    assert reasons(report) == {("b", "neuron.lif"), ("b", "tau"), ("c", "route.merge"), ("", "dt_ns")}
    assert [row.resource for row in report.rows if not row.ok] == ["circuits"]


def test_a_model_that_cannot_be_cut_or_ordered_is_a_reason_not_a_crash(net: Any) -> None:
    """A loop through an analog part: whatever becomes of it, check answers and map says the same."""
    parts = [
        net.input("input", 1),
        net.neuron(nodes.LI, "li", 1, tau=2),
        net.spiking("x", 1),
        net.linear("back", [[1.0]]),
        net.output("output", 1),
    ]
    edges = [("input", "li"), ("li", "x"), ("x", "back"), ("back", "li"), ("x", "output")]
    for device in DEVICES:
        report = hal.mapper(device).check(net.model(parts, edges))
        assert report.fits == (device == "ideal")
        assert report.fits or report.problems()


def test_names_like_those_of_a_cut_do_not_clash(net: Any) -> None:
    """Nodes of sub-graphs are called outer.inner, so a node may well be called cells.out."""
    parts = [
        net.input("input", 1),
        net.linear("cells.out", [[1.0]]),
        net.spiking("cells", 1),
        net.neuron(nodes.LI, "li", 1, tau=2),
        net.output("output", 1),
    ]
    order = ["input", "cells.out", "cells", "li", "output"]
    model = net.model(parts, list(itertools.pairwise(order)))
    stimulus = {"input": hal.events([0, 2000], [0, 0])}
    chip, ideal = (net.run(device, model, stimulus, 4000) for device in ("speck2f", "ideal"))
    assert chip.signals["output"].values.tolist() == ideal.signals["output"].values.tolist()


# --- what the author says --------------------------------------------------------------------------------------------


def test_a_plan_without_config_and_reason_is_the_authors_error(net: Any, toys: Any) -> None:
    class Silent(toys.Mapper):
        def _plan(self, *args: Any) -> Plan:
            return Plan()

    toys.add(mapper=Silent)
    for call in (hal.mapper("toy").check, hal.mapper("toy").map):
        with pytest.raises((TypeError, hal.PluginError), match="toy"):
            call(net.relay())


def test_a_plan_that_forgets_a_node_is_the_authors_error(net: Any, toys: Any) -> None:
    class Forgetful(toys.Mapper):
        def _plan(self, *args: Any) -> Plan:
            plan = super()._plan(*args)
            return attrs.evolve(plan, fates=tuple(f for f in plan.fates if f.node != "fc"))

    toys.add(mapper=Forgetful)
    with pytest.raises((TypeError, hal.PluginError), match="fc"):
        hal.mapper("toy").map(net.relay())


def test_registers_that_break_the_schema_do_not_leave_the_mapper(net: Any, toys: Any) -> None:
    class Wrong(toys.Mapper):
        def _plan(self, *args: Any) -> Plan:
            plan = super()._plan(*args)
            return attrs.evolve(plan, config=attrs.evolve(plan.config, lane=7))

    toys.add(mapper=Wrong)
    with pytest.raises(ConfigError, match="lane"):
        hal.mapper("toy").map(net.relay())


def test_registers_of_another_class_do_not_leave_the_mapper(net: Any, toys: Any) -> None:
    class Wrong(toys.Mapper):
        def _plan(self, *args: Any) -> Plan:
            return attrs.evolve(super()._plan(*args), config=toys.OpenOptions())

    toys.add(mapper=Wrong)
    with pytest.raises((TypeError, ConfigError, hal.PluginError), match="ToyConfig"):
        hal.mapper("toy").map(net.relay())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"latency_ns": {"nobody": 5}}, "nobody"),
        ({"realised": {("nobody", "weight"): np.ones(1)}}, "nobody"),
        ({"placement": Placement.build([{"node": "cells", "index": [0], "core": 0, "neuron": [0]}])}, "tag"),
    ],
)
def test_slips_of_an_author_are_named(net: Any, toys: Any, change: dict[str, Any], word: str) -> None:
    class Slipping(toys.Mapper):
        def _plan(self, *args: Any) -> Plan:
            return attrs.evolve(super()._plan(*args), **change)

    toys.add(mapper=Slipping)
    with pytest.raises(TypeError, match=word):
        hal.mapper("toy").map(net.relay())


def test_an_author_may_speak_of_the_outputs_of_the_chips_part(net: Any, toys: Any) -> None:
    """The part has an Output where it was cut, and the author sees no other model."""
    toys.add(clock=hal.Clock(kind="clocked"))
    mapping = hal.mapper("toy").map(net.readout())
    assert set(mapping.latency_ns) <= set(net.readout().nodes)


def test_the_authors_own_words_replace_the_cores(net: Any, toys: Any) -> None:
    class Talkative(toys.Mapper):
        def _plan(self, *args: Any) -> Plan:
            plan = super()._plan(*args)
            own = Finding(level="refused", node="cells", field="neuron.if", reason="out of stock")
            return attrs.evolve(plan, findings=[*plan.findings, own])

    toys.add(mapper=Talkative, capabilities=toys.ALL - {"neuron.if"})
    (finding,) = hal.mapper("toy").check(net.relay()).refused
    assert finding.reason == "out of stock"


def test_an_author_cannot_overrule_a_missing_capability(net: Any, toys: Any) -> None:
    class Bold(toys.Mapper):
        def _plan(self, *args: Any) -> Plan:
            plan = super()._plan(*args)
            own = Finding(level="note", node="cells", field="neuron.if", reason="works well enough")
            return attrs.evolve(plan, findings=[*plan.findings, own])

    toys.add(mapper=Bold, capabilities=toys.ALL - {"neuron.if"})
    assert not hal.mapper("toy").check(net.relay()).fits


# --- fates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["ideal", "speck2f"])
@pytest.mark.parametrize("kind", ["relay", "readout", "encoder"])
def test_one_line_per_node_in_the_models_order(net: Any, device: str, kind: str) -> None:
    model = getattr(net, kind)()
    mapping = hal.mapper(device).map(model)
    assert tuple(fate.node for fate in mapping.fates) == model.order()
    fates = {fate.node: fate.fate for fate in mapping.fates}
    assert fates["input"] == fates["output"] == "folded"


def test_what_the_host_computes_has_the_fate_host(net: Any) -> None:
    back = {f.node: f.fate for f in hal.mapper("speck2f").map(net.readout()).fates}
    assert {name: back[name] for name in ("cells", "weigh", "li")} == {"cells": "chip", "weigh": "host", "li": "host"}
    front = {f.node: f.fate for f in hal.mapper("speck2f").map(net.encoder()).fates}
    assert {name: front[name] for name in ("enc", "cells")} == {"enc": "host", "cells": "chip"}


def test_what_was_added_comes_last(net: Any, toys: Any) -> None:
    toys.add()
    fates = hal.mapper("toy").map(net.relay()).fates
    assert [f.node for f in fates if f.fate == "added"] == ["lane"] == [fates[-1].node]


# --- options, rates, approximations ----------------------------------------------------------------------------------


def test_options_as_object_mapping_or_nothing(net: Any, toys: Any) -> None:
    toys.add()
    mapper = hal.mapper("toy")
    one = mapper.map(net.relay(), {"circuits": {"cells": 2}})
    two = mapper.map(net.relay(), toys.MapOptions(circuits={"cells": 2}))
    assert one.placement.rows.tolist() == two.placement.rows.tolist()
    assert len(one.where("cells")) == 4
    assert len(mapper.map(net.relay()).where("cells")) == 2


@pytest.mark.parametrize("call", ["check", "map"])
def test_wrong_options_are_named_all_at_once(net: Any, toys: Any, call: str) -> None:
    toys.add()
    ask = getattr(hal.mapper("toy"), call)
    with pytest.raises(ConfigError) as caught:
        ask(net.relay(), {"circuit": {}, "circuits": {"cells": 0}})
    assert [p.where for p in caught.value.problems] == ["circuit", "circuits['cells']"]
    assert "did you mean 'circuits'" in caught.value.problems[0].hint
    with pytest.raises(ConfigError):
        ask(net.relay(), toys.MapOptions(circuits={"cells": -1}))
    for other in (registry.spec("speck2f").map_options(), 5, [("a", 1)]):
        with pytest.raises(ConfigError, match="ToyMapOptions"):
            ask(net.relay(), other)


def test_nothing_is_approximated_without_being_listed(net: Any, toys: Any) -> None:
    @attrs.frozen(kw_only=True)
    class Options(toys.MapOptions):
        approximations = ("leak",)

    toys.add(map_options=Options)
    model = net.chain(net.input("input", 1), net.neuron(nodes.LIF, "x", 1, tau=5), net.output("output", 1))
    mapper = hal.mapper("toy")
    assert reasons(mapper.check(model)) == {("x", "tau")}
    report = mapper.check(model, {"approximate": {"leak"}})
    assert report.fits
    (changed,) = report.changed
    assert (changed.node, changed.wanted, changed.realised) == ("x", 1.0, 2.0)
    assert mapper.map(model, {"approximate": {"leak"}}).fit.changed == (changed,)


def test_what_a_device_lacks_is_taken_where_the_word_for_it_is_allowed(net: Any, toys: Any) -> None:
    @attrs.frozen(kw_only=True)
    class Options(toys.MapOptions):
        approximations = ("leak",)

    model = net.chain(net.input("input", 1), net.neuron(nodes.LIF, "x", 1, tau=5), net.output("output", 1))
    own = toys.add(map_options=Options).capabilities - {"neuron.lif"}
    toys.add(map_options=Options, capabilities=own, name="plain")
    toys.add(map_options=Options, capabilities=own, name="lenient", approximates={"neuron.lif": "leak"})
    hints = {}
    for name in ("plain", "lenient"):
        report = hal.mapper(name).check(model)
        assert not report.fits
        assert reasons(report) >= {("x", "neuron.lif")}
        hints[name] = next(f.hint for f in report.refused if f.field == "neuron.lif")
    assert hints == {"plain": "`hal info` lists what it can do", "lenient": "allow it with approximate={'leak'}"}
    allowed = {"approximate": {"leak"}}
    assert reasons(hal.mapper("plain").check(model, allowed)) == {("x", "neuron.lif")}
    report = hal.mapper("lenient").check(model, allowed)
    assert report.fits
    # taken, and listed
    assert [(f.node, f.field) for f in report.changed] == [("x", "tau")]
    assert hal.mapper("lenient").map(model, allowed).fit == report


def test_a_device_approximates_words_of_the_vocabulary_alone() -> None:
    spec = registry.spec("dynapse2")
    with pytest.raises(ConfigError, match="not in the vocabulary") as caught:
        attrs.evolve(spec, approximates={"neuron.lif": "synapse", "neuron.magic": "synapse"})
    assert [(p.what, p.where) for p in caught.value.problems] == [("unknown capability", "neuron.magic")]


def test_rates_are_checked_against_run_time_limits(net: Any, toys: Any) -> None:
    toys.add()
    mapper = hal.mapper("toy")
    assert mapper.check(net.relay(), rates_hz={"input": 999}).fits
    report = mapper.check(net.relay(), rates_hz={"input": 2e4, "cells": 5.0})
    assert not report.fits
    (row,) = [row for row in report.rows if not row.ok]
    assert (row.resource, row.node, row.needed, row.limit) == ("bandwidth", "input", 2e4, 1000)


@pytest.mark.parametrize("rate", [5, 5.5, np.int64(5), np.float32(5)])
def test_a_rate_is_any_number(net: Any, toys: Any, rate: Any) -> None:
    toys.add()
    assert hal.mapper("toy").check(net.relay(), rates_hz={"input": rate, "output": rate}).fits


@pytest.mark.parametrize(
    ("rates", "where"),
    [
        ({"inptu": 5}, "rates_hz['inptu']"),
        ({"input": -1}, "rates_hz['input']"),
        ({"input": float("nan")}, "rates_hz['input']"),
        ({"input": float("inf")}, "rates_hz['input']"),
        ({"input": "20kHz"}, "rates_hz['input']"),
        ({"input": None}, "rates_hz['input']"),
        ({"input": [1, 2]}, "rates_hz['input']"),
        # a weight has no events of its own: its rate would be left out in silence
        ({"fc": 5}, "rates_hz['fc']"),
    ],
)
def test_wrong_rates_are_named(net: Any, toys: Any, rates: Any, where: str) -> None:
    toys.add()
    with pytest.raises(ConfigError) as caught:
        hal.mapper("toy").check(net.relay(), rates_hz=rates)
    assert [p.where for p in caught.value.problems] == [where]


def test_wrong_rates_come_with_advice_all_at_once(net: Any, toys: Any) -> None:
    toys.add()
    with pytest.raises(ConfigError, match="did you mean 'input'") as caught:
        hal.mapper("toy").check(net.relay(), rates_hz={"inptu": 5, "cells": -1})
    assert len(caught.value.problems) == 2


# --- record ----------------------------------------------------------------------------------------------------------


def record_problems(device: str, model: Any, record: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        hal.mapper(device).map(model, record=record)
    return [problem.where for problem in caught.value.problems]


def test_what_is_recorded_may_be_names_and_probes(net: Any) -> None:
    mapper = hal.mapper("ideal")
    assert mapper.map(net.relay(), record="cells").record == (hal.Probe("cells"),)
    assert mapper.map(net.relay(), record=hal.Probe("cells")).record == (hal.Probe("cells"),)
    both = mapper.map(net.relay(), record=["input", hal.Probe("cells", "v", (0,), 1000)]).record
    assert both == (hal.Probe("input"), hal.Probe("cells", "v", (0,), 1000))
    assert mapper.map(net.relay()).record == ()


def test_every_wrong_probe_is_named_at_once(net: Any) -> None:
    record = ["cell", "fc", hal.Probe("cells", "w"), hal.Probe("cells", indices=(0, 5))]
    with pytest.raises(ConfigError) as caught:
        hal.mapper("ideal").map(net.relay(), record=record)
    said = [str(p) for p in caught.value.problems]
    assert len(said) == 4
    for text, words in zip(
        said, (("cell", "did you mean 'cells'"), ("fc", "no spikes"), ("w", "observable"), ("5", "0..1")), strict=True
    ):
        assert all(word in text for word in words), text


@pytest.mark.parametrize("record", [5, [5], None, [None], [("cells", "v")]])
def test_what_is_no_probe_is_a_config_error(net: Any, record: Any) -> None:
    with pytest.raises(ConfigError):
        hal.mapper("ideal").map(net.relay(), record=record)


def test_a_period_is_a_multiple_of_the_observables(net: Any, toys: Any) -> None:
    toys.add()
    mapper = hal.mapper("toy")
    mapper.map(net.relay(), record=[hal.Probe("cells", "v", None, 30)])
    for every in (0, -10, 15):
        with pytest.raises(ConfigError, match="multiples of 10 ns"):
            mapper.map(net.relay(), record=[hal.Probe("cells", "v", None, every)])


@pytest.mark.parametrize("every", [1500, 1, 999])
def test_on_a_clocked_device_a_period_is_whole_steps(net: Any, every: int) -> None:
    probe = hal.Probe("cells", "v", None, every)
    assert record_problems("ideal", net.relay(), [probe]) == ["record 'cells'"]


def test_what_is_only_observable_at_the_end_has_no_period(net: Any) -> None:
    assert record_problems("speck2f", net.relay(), [hal.Probe("cells", "v", None, 1000)])


def test_limits_of_observables_are_checked(net: Any, toys: Any) -> None:
    toys.add()
    probes = [hal.Probe("cells", "v", (i,)) for i in range(3)]
    assert "record" in record_problems("toy", net.relay(3), [hal.Probe("cells", "v"), *probes])[-1]


def test_limits_per_core_are_checked_where_the_neurons_sit(net: Any, toys: Any) -> None:
    class TwoCores(toys.Mapper):
        def _plan(self, *args: Any) -> Plan:
            plan = super()._plan(*args)
            plan.placement.rows["core"][plan.placement.rows["core"] >= 0] = [0, 0, 1, 1]
            return plan

    observables = (
        Observable(variable="spikes", unit="events"),
        Observable(variable="v", unit="mV", at_once=1, scope="core"),
    )
    toys.add(mapper=TwoCores, observables=observables)
    mapper = hal.mapper("toy")
    mapper.map(net.relay(4), record=[hal.Probe("cells", "v", (0, 3))])
    with pytest.raises(ConfigError, match="core 0") as caught:
        mapper.map(net.relay(4), record=[hal.Probe("cells", "v", (0, 1))])
    assert [(p.where, p.value) for p in caught.value.problems] == [("record 'cells'", 2)]


def test_observables_that_exclude_each_other_are_refused(net: Any, toys: Any) -> None:
    observables = (
        Observable(variable="spikes", unit="events"),
        Observable(variable="v", unit="mV", excludes=("adc",)),
        Observable(variable="adc", unit="mV"),
    )
    toys.add(observables=observables)
    mapper = hal.mapper("toy")
    mapper.map(net.relay(), record=[hal.Probe("cells", "v")])
    mapper.map(net.relay(), record=[hal.Probe("cells", "adc")])
    for order in (("v", "adc"), ("adc", "v")):
        with pytest.raises(ConfigError, match="adc"):
            mapper.map(net.relay(), record=[hal.Probe("cells", variable) for variable in order])


def test_one_column_is_asked_for_once(net: Any) -> None:
    probes = [hal.Probe("cells", "v", (0,), 1000), hal.Probe("cells", "v")]
    assert record_problems("ideal", net.relay(), probes)


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("encoder", "input"),
        ("readout", "output"),
        ("readout", "li"),
        ("relay", hal.Probe("cells", "i")),
        ("relay", hal.Probe("input", "v")),
        ("relay", hal.Probe("fc", "v")),
    ],
)
def test_what_a_node_does_not_have_cannot_be_recorded(net: Any, kind: str, record: Any) -> None:
    assert record_problems("ideal", getattr(net, kind)(), [record])


@pytest.mark.parametrize("every", [None, 1000])
@pytest.mark.parametrize(("kind", "node"), [("readout", "li"), ("encoder", "enc")])
def test_state_on_the_host_is_recorded_or_refused_but_not_forgotten(
    net: Any, kind: str, node: str, every: int | None
) -> None:
    model = getattr(net, kind)()
    probe = hal.Probe(node, "v", None, every)
    stimulus = {"input": np.array([[1, 1]] * 4)}
    try:
        recording = net.run("speck2f", model, stimulus, 4000, record=[probe])
    except ConfigError as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert node in said
        return
    expected = net.run("ideal", model, stimulus, 4000, record=[probe])
    assert recording.traces[node, "v"].values.tolist() == expected.traces[node, "v"].values.tolist()


# --- like ------------------------------------------------------------------------------------------------------------


def two_layers(net: Any, first: Any, second: Any, **more: Any) -> Any:
    return net.chain(
        net.input("input", 2),
        net.linear("one", first),
        net.spiking("a", len(first), **more),
        net.linear("two", second),
        net.spiking("b", len(second)),
        net.output("output", len(second)),
    )


@pytest.mark.parametrize("device", ["ideal", "speck2f"])
def test_like_changes_numbers_only(net: Any, device: str) -> None:
    mapper = hal.mapper(device)
    before = mapper.map(two_layers(net, np.eye(2), np.eye(2)))
    after = mapper.map(two_layers(net, 2 * np.eye(2), -np.eye(2), v_threshold=3.0), like=before)
    assert after.placement.moved(before.placement) == []
    fresh = mapper.map(two_layers(net, 2 * np.eye(2), -np.eye(2), v_threshold=3.0))
    for key, values in fresh.realised.items():
        assert np.array_equal(after.realised[key], values)


def test_like_keeps_a_placement_that_would_not_be_chosen_again(net: Any) -> None:
    mapper = hal.mapper("speck2f")
    before = mapper.map(net.relay(), {"fixed_cores": {"cells": 7}})
    assert set(before.where("cells")["core"].tolist()) == {7}
    assert set(mapper.map(net.relay()).where("cells")["core"].tolist()) != {7}
    assert set(mapper.map(net.relay(), like=before).where("cells")["core"].tolist()) == {7}


@pytest.mark.parametrize("device", ["ideal", "speck2f"])
def test_like_says_what_would_have_to_move(net: Any, device: str) -> None:
    mapper = hal.mapper(device)
    before = mapper.map(two_layers(net, np.eye(2), np.eye(2)))
    with pytest.raises((ConfigError, DoesNotFitError)) as caught:
        mapper.map(two_layers(net, np.eye(2), np.ones((3, 2))), like=before)
    assert "b" in str(caught.value)
    assert caught.value.problems


@pytest.mark.parametrize("device", ["ideal", "speck2f"])
def test_like_refuses_another_route_of_equal_size(net: Any, device: str) -> None:
    parts = [net.input("input", 2), net.linear("wa", np.eye(2)), net.linear("wb", np.eye(2))]
    parts += [net.spiking("a", 2), net.spiking("b", 2), net.output("output", 2)]
    one = [("input", "wa"), ("wa", "a"), ("a", "wb"), ("wb", "b"), ("b", "output")]
    other = [("input", "wb"), ("wb", "a"), ("a", "wa"), ("wa", "b"), ("b", "output")]
    mapper = hal.mapper(device)
    before = mapper.map(net.model(parts, one))
    with pytest.raises(ConfigError, match="like"):
        mapper.map(net.model(parts, other), like=before)


def test_like_refuses_a_mapping_of_another_device(net: Any) -> None:
    before = hal.mapper("ideal").map(net.relay())
    with pytest.raises(ConfigError, match="ideal"):
        hal.mapper("speck2f").map(net.relay(), like=before)


def test_like_refuses_what_is_no_mapping(net: Any) -> None:
    with pytest.raises(ConfigError):
        hal.mapper("ideal").map(net.relay(), like=5)


# --- adopt, edit -----------------------------------------------------------------------------------------------------


def test_adopt_takes_registers_of_its_own_class_only(net: Any, toys: Any) -> None:
    toys.add()
    config = toys.Config(gain=[1, 2])
    assert hal.mapper("toy").adopt(config).config is config
    with pytest.raises(ConfigError, match="ToyConfig"):
        hal.mapper("toy").adopt({"gain": [1]})
    with pytest.raises(ConfigError, match="lane"):
        hal.mapper("toy").adopt(toys.Config(gain=[1], lane=9))


def test_adopt_of_registers_for_another_chip_does_not_fit(net: Any) -> None:
    config = hal.mapper("speck2e").map(net.relay()).config
    with pytest.raises(DoesNotFitError, match="speck2e"):
        hal.mapper("speck2f").adopt(config)


# --- models ----------------------------------------------------------------------------------------------------------


def test_what_is_no_model_is_said_to_be_none() -> None:
    for call in (hal.mapper("ideal").check, hal.mapper("ideal").map):
        with pytest.raises(hal.ModelError, match="no model"):
            call(5)


def test_without_a_step_clocked_devices_refuse_and_event_devices_do_not(net: Any, toys: Any) -> None:
    model = net.relay(dt_ns=None)
    assert reasons(hal.mapper("ideal").check(model)) == {("", "dt_ns")}
    toys.add()
    mapping = hal.mapper("toy").map(model)
    assert mapping.step_ns is None


def test_host_parts_need_a_step(net: Any) -> None:
    report = hal.mapper("speck2f").check(net.readout(dt_ns=None))
    assert ("", "dt_ns") in reasons(report)


def test_the_mapper_sees_only_the_chips_part(net: Any, toys: Any) -> None:
    seen = []

    class Curious(toys.Mapper):
        def _plan(self, model: Any, *args: Any) -> Plan:
            seen.append(model)
            return super()._plan(model, *args)

    toys.add(mapper=Curious)
    hal.mapper("toy").check(net.readout())
    assert {node.type for node in seen[0].nodes.values()} == {"Input", "Linear", "IF", "Output"}
    assert "li" not in seen[0].nodes


def test_a_mapper_is_abstract_in_one_method(toys: Any) -> None:
    assert Mapper.__abstractmethods__ == {"_plan"}


def test_a_profile_is_named_in_the_mapping_and_changes_the_placement(net: Any, toys: Any) -> None:
    toys.add(profile=toys.Profile, capabilities=toys.ALL | {"profile"})
    mapping = hal.mapper("toy", profile=toys.Profile(id="chip 7", bad=(0, 2))).map(net.relay())
    assert mapping.profile_id == "chip 7"
    assert mapping.where("cells")["neuron"].tolist() == [1, 3]
    assert hal.mapper("toy").map(net.relay()).profile_id is None
    with pytest.raises(CapabilityError):
        hal.mapper("ideal", profile=toys.Profile(id="x"))


@pytest.mark.parametrize("device", ["ideal", "speck2f"])
def test_mapping_is_deterministic(net: Any, device: str) -> None:
    one, two = (hal.mapper(device).map(net.relay(4), seed=3) for _ in range(2))
    assert one.config == two.config
    assert one.placement.rows.tolist() == two.placement.rows.tolist()


# --- Speck's words in the contract ------------------------------------------------------------------------------------


def biased(net: Any, bias: float) -> Any:
    return net.chain(
        net.input("input", 2),
        net.affine("fc", np.eye(2), [bias, bias]),
        net.spiking("cells", 2),
        net.output("output", 2),
    )


def test_a_bias_of_zero_costs_memory_and_no_leak_on_speck(net: Any) -> None:
    mapping = hal.mapper("speck2f").map(biased(net, 0.0))
    core = int(mapping.where("cells")["core"][0])
    assert not mapping.config.cnn_layers[core].leak_enable
    (row,) = [row for row in mapping.fit.rows if row.resource == "bias memory"]
    assert row.needed == 2


def test_a_bias_per_step_is_refused_on_speck_unless_approximated_by_a_leak(net: Any) -> None:
    mapper = hal.mapper("speck2f")
    assert "fc" in {f.node for f in mapper.check(biased(net, 1.0)).refused}
    report = mapper.check(biased(net, 1.0), {"approximate": {"leak"}})
    assert report.fits
    assert "fc" in {f.node for f in report.changed}


@pytest.mark.parametrize("device", DEVICES)
def test_columns_of_a_placement_are_those_of_the_spec(net: Any, device: str) -> None:
    options = {"approximate": {"reset"}} if device == "loihi" else {}
    model = net.relay()
    if "neuron.if" not in registry.spec(device).capabilities:
        cells = net.neuron(nodes.CubaLIF, "cells", 2, tau_mem=20e-3, tau_syn=5e-3)
        chain = (net.input("input", 2), net.linear("fc", np.eye(2)), cells, net.output("output", 2))
        model = net.chain(*chain, profile="nir", dt_ns=1_000_000)
    placement = hal.mapper(device).map(model, options).placement
    extras = tuple(column.name for column in registry.spec(device).placement_extras)
    assert placement.rows.dtype.names == ("node", "index", "part", "chip", "core", "neuron", *extras)


def test_an_index_is_the_c_order_position_in_the_image(net: Any) -> None:
    shape = (2, 3, 4)
    model = net.chain(
        net.input("input", *shape), net.conv("conv", np.eye(2)[:, :, None, None], (3, 4)), net.spiking("x", *shape),
        net.output("output", *shape),
    )  # fmt: skip
    mapping = hal.mapper("speck2f").map(model)
    for name in ("input", "x"):
        rows = mapping.where(name)
        expected = np.stack(np.unravel_index(rows["index"], shape))
        assert np.array_equal(np.stack([rows["feature"], rows["y"], rows["x"]]), expected)
    recording = net.run("speck2f", model, {"input": hal.events([0, 1000], [5, 23])}, 2000)
    assert recording.spikes["output"]["index"].tolist() == [5, 23]


# --- devices without steps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("speedup", "least"), [(1.0, 10), (3.0, 30), (2.55, 26), (0.5, 5), (0.01, 1)])
def test_without_steps_any_period_goes_that_is_not_too_short_on_the_chip(
    net: Any, toys: Any, speedup: float, least: int
) -> None:
    toys.add(clock=Clock(kind="continuous"), speedup=speedup)
    mapper = hal.mapper("toy")
    for every in (least, least + 1, 10 * least + 7):
        (probe,) = mapper.map(net.relay(), record=[hal.Probe("cells", "v", None, every)]).record
        assert probe.every_ns == every
    if least > 1:
        with pytest.raises(ConfigError, match="cannot be sampled so often") as caught:
            mapper.map(net.relay(), record=[hal.Probe("cells", "v", None, least - 1)])
        (problem,) = caught.value.problems
        assert (problem.where, problem.value, problem.limit) == ("record 'cells'", least - 1, f"{least} ns or more")
    for none in (0, -5):
        assert record_problems("toy", net.relay(), [hal.Probe("cells", "v", None, none)]) == ["record 'cells'"]


def test_without_steps_a_period_of_a_step_is_any(net: Any, toys: Any) -> None:
    observables = (Observable(variable="spikes", unit="events"), Observable(variable="v", unit="mV", period_ns=0))
    toys.add(clock=Clock(kind="continuous"), observables=observables, speedup=1000.0)
    assert hal.mapper("toy").map(net.relay(), record=[hal.Probe("cells", "v", None, 1)]).record


@pytest.mark.parametrize("kind", ["event", "continuous"])
def test_what_comes_with_spikes_has_no_period_and_counts_once_a_node(net: Any, toys: Any, kind: Any) -> None:
    observables = (
        Observable(variable="spikes", unit="events"),
        Observable(variable="at", unit="s", per="spike", at_once=1, period_ns=None),
    )
    toys.add(clock=Clock(kind=kind), observables=observables)
    model = two_layers(net, np.eye(2), np.eye(2))
    mapper = hal.mapper("toy")
    assert mapper.map(model, record=[hal.Probe("a", "at")]).record
    with pytest.raises(ConfigError, match="cannot be sampled over time") as caught:
        mapper.map(model, record=[hal.Probe("a", "at", None, 10)])
    assert [(p.where, p.value) for p in caught.value.problems] == [("record 'a'", 10)]
    with pytest.raises(ConfigError, match="too many probes of at"):
        mapper.map(model, record=[hal.Probe("a", "at"), hal.Probe("b", "at")])
    with pytest.raises(ConfigError, match="of all neurons of the node") as caught:
        mapper.map(model, record=[hal.Probe("a", "at", (1,))])
    assert [(p.where, p.value) for p in caught.value.problems] == [("record 'a'", (1,))]


def test_what_comes_with_spikes_counts_once_a_node_on_each_core(net: Any, toys: Any) -> None:
    class TwoCores(toys.Mapper):
        def _plan(self, *args: Any) -> Plan:
            plan = super()._plan(*args)
            rows = plan.placement.rows
            rows["core"][rows["core"] >= 0] = cores
            return plan

    observables = (
        Observable(variable="spikes", unit="events"),
        Observable(variable="at", unit="s", per="spike", at_once=1, scope="core"),
    )
    toys.add(mapper=TwoCores, observables=observables)
    model, mapper = two_layers(net, np.eye(2), np.eye(2)), hal.mapper("toy")
    probes = [hal.Probe("a", "at"), hal.Probe("b", "at")]
    cores = [0, 0, 1, 1]
    assert mapper.map(model, record=probes).record
    cores = [0, 1, 1, 1]
    with pytest.raises(ConfigError, match="core 1") as caught:
        mapper.map(model, record=probes)
    assert [p.value for p in caught.value.problems] == [2]


# --- capabilities ----------------------------------------------------------------------------------------------------


def test_an_option_may_add_to_what_a_chip_does(net: Any, toys: Any) -> None:
    @attrs.frozen(kw_only=True)
    class Options(toys.MapOptions):
        approximations = ("leak",)

    class Able(toys.Mapper):
        def _capabilities(self, options: Any) -> frozenset[str]:
            return self.spec.capabilities | ({"neuron.lif"} if options.circuits else set())

    toys.add(mapper=Able, map_options=Options, capabilities=toys.ALL - {"neuron.lif"})
    cells = net.neuron(nodes.LIF, "cells", 2, tau=5)
    model = net.chain(net.input("input", 2), net.linear("fc", np.eye(2)), cells, net.output("output", 2))
    mapper, asked = hal.mapper("toy"), {"approximate": {"leak"}, "circuits": {"cells": 2}}
    assert mapper.check(model, asked).fits
    assert mapper.map(model, asked).config.gain.size == 2
    report = mapper.check(model, {"approximate": {"leak"}})
    assert [(finding.node, finding.level) for finding in report.refused] == [("cells", "refused")]
    with pytest.raises(DoesNotFitError, match="cells"):
        mapper.map(model, {"approximate": {"leak"}})
