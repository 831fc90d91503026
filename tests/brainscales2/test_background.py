"""The chip's own sources of events: registers, who hears them through the crossbar, and devices that they drive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import pytest

import hal
import hal_brainscales2.plugin
from hal import config, nodes
from hal.device import Reset
from hal.errors import ConfigError
from hal.mapping import Mapping
from hal.model import Model
from hal.semantics import Semantics
from hal.testing import registered
from hal_brainscales2 import silicon
from hal_brainscales2.background import Feed, occurring
from hal_brainscales2.config import BackgroundConfig, BrainScaleS2Config
from hal_brainscales2.limits import background_input, bus_output, driver_at, driver_rows, host_output
from hal_brainscales2.options import MapOptions

MS = 1_000_000
N = 6
CHANNELS = 2
WEIGHT = 60


@pytest.fixture(autouse=True)
def brainscales2() -> Iterator[None]:
    with registered(hal_brainscales2.plugin, "brainscales2"):
        yield


@pytest.fixture(scope="module")
def model() -> Model:
    """Two inputs, too weak to make any of six neurons spike; 12 and 6 ms, thresholds 1."""
    fields = {"tau_mem": 12e-3, "tau_syn": 6e-3, "r": 1.0, "w_in": 6e-3, "v_leak": 0.0, "v_threshold": 1.0}
    neurons: dict[str, Any] = {k: np.full(N, v, np.float32) for k, v in (fields | {"v_reset": 0.0}).items()}
    weight = np.full((N, CHANNELS), 0.1, np.float32)
    made = (
        nodes.Input(name="in", input_shape=(CHANNELS,), output_shape=(CHANNELS,)),
        nodes.Linear(name="w", input_shape=(CHANNELS,), output_shape=(N,), weight=weight),
        nodes.CubaLIF(name="n", input_shape=(N,), output_shape=(N,), **neurons),
        nodes.Output(name="out", input_shape=(N,), output_shape=(N,)),
    )
    edges = [("in", "w"), ("w", "n"), ("n", "out")]
    return Model.of({node.name: node for node in made}, edges, Semantics(profile="nir", dt_ns=None))


@pytest.fixture
def mapping(model: Model) -> Mapping:
    """Three neurons in each hemisphere; one s of the chip is a thousand of the model."""
    places = (*range(N // 2), *range(256, 256 + N // 2))
    return hal.mapper("brainscales2").map(model, MapOptions(places={"n": places}, scale=10.0, speedup=1000.0))


def sources(**values: Any) -> BackgroundConfig:
    """Values as source -> number; one that has a period is on."""
    on = np.zeros(8, bool)
    on[list(values.get("period", {}))] = True
    arrays: dict[str, Any] = {"on": on}
    for name, given in values.items():
        arrays[name] = np.zeros(8, np.int64)
        arrays[name][list(given)] = list(given.values())
    if "poisson" in arrays:
        arrays["poisson"] = arrays["poisson"].astype(bool)
    return BackgroundConfig(**arrays)


def driven(registers: BrainScaleS2Config, background: BackgroundConfig, source: int = 2, **more: Any) -> Any:
    """Source s onto the first three columns, through a free driver of its bus, by what the docstring of registers says.

    more: hemisphere and bus of the driver, mask and target of the crossbar's node, `labels` of the synapses.
    """
    h, bus = more.get("hemisphere", source // 4), more.get("bus", source % 4)
    routing = {name: getattr(registers.routing, name).copy() for name in attrs.fields_dict(type(registers.routing))}
    driver = driver_at(bus, 9)
    assert not routing["driver_on"][h, driver]
    entry, node = background_input(source), bus_output(h, bus)
    routing["crossbar_mask"][entry, node], routing["crossbar_target"][entry, node] = more.get("node", (0, 0))
    routing["driver_on"][h, driver] = True
    row = driver_rows(driver)[0]
    routing["row_sign"][h, row] = 1
    routing["weight"][h, row, : N // 2] = WEIGHT
    routing["label"][h, row, : N // 2] = more.get("labels", 0)
    changed = attrs.evolve(registers.routing, **routing)
    return attrs.evolve(registers, routing=changed, background=background)


def pairs(registers: Any) -> set[tuple[int, int]]:
    """Which background events, by number, which neurons hear."""
    found = silicon.heard(registers)
    size = occurring(registers.background)[0].size
    mine = (found.source >= CHANNELS) & (found.source < CHANNELS + size)
    assert (found.excitation[mine] == WEIGHT).all()
    return set(zip((found.source[mine] - CHANNELS).tolist(), found.target[mine].tolist(), strict=True))


# --- registers --------------------------------------------------------------------------------------------------------


def test_all_are_off_by_default_and_registers_survive_json(mapping: Mapping) -> None:
    assert not mapping.config.background.on.any()
    edited = driven(mapping.config, sources(period={2: 100}, seed={2: 2**32 - 1}, poisson={2: 1}, rate={2: 255}))
    assert config.from_json(BrainScaleS2Config, config.to_json(edited)) == edited


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"period": {3: 1}}, ["period[3]", "more than 125 million events a second", "value 1", "limit >= 2"]),
        ({"period": {0: 0, 5: 2**16}}, ["period", "65536"]),
        ({"rate": {1: 256}}, ["rate", "256"]),
        ({"seed": {1: 2**32}}, ["seed", "4294967296"]),
        ({"seed": {1: -1}}, ["seed", "-1"]),
        ({"mask": {1: 256}}, ["mask", "256"]),
        ({"label": {1: 2**14}}, ["label", "16384", "16383"]),
    ],
)
def test_registers_out_of_range_are_refused(mapping: Mapping, values: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        mapping.with_config(attrs.evolve(mapping.config, background=sources(**values)))
    assert all(word in str(caught.value) for word in words)


def test_there_are_eight_and_each_that_is_too_fast_is_named(mapping: Mapping) -> None:
    for name in ("on", "poisson", "rate"):
        short = attrs.evolve(BackgroundConfig(), **{name: np.zeros(7, bool if name != "rate" else int)})
        with pytest.raises(ConfigError, match=rf"(?s)background.{name}.*\(7,\).*\(8,\)"):
            mapping.with_config(attrs.evolve(mapping.config, background=short))
    with pytest.raises(ConfigError, match=r"(?s)period\[1\].*period\[6\]"):
        mapping.with_config(attrs.evolve(mapping.config, background=sources(period={1: 0, 6: 1, 7: 2})))


def test_what_can_occur() -> None:
    made = sources(
        period={0: 9, 2: 9, 5: 9, 6: 9, 7: 9},
        label={0: 300, 2: 0x1FF, 5: 7, 6: 1, 7: 2},
        mask={0: 255, 2: 0b101, 5: 255, 6: 255},
        poisson={2: 1, 5: 1, 6: 1},
        rate={2: 1, 6: 9},
    )
    source, label = occurring(made)
    # regular ones have one label, a rate of 0 is silence
    assert np.bincount(source, minlength=8).tolist() == [1, 0, 4, 0, 0, 0, 256, 1]
    assert label[source == 0].tolist() == [300]
    assert label[source == 2].tolist() == [0x1FA, 0x1FB, 0x1FE, 0x1FF]
    assert label[source == 6].tolist() == list(range(256))
    assert label[source == 7].tolist() == [2]


# --- who hears them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", range(8))
def test_a_source_reaches_its_own_bus_and_no_other(mapping: Mapping, source: int) -> None:
    background = sources(period={source: 100})
    for h in range(2):
        for bus in range(4):
            edited = driven(mapping.config, background, source, hemisphere=h, bus=bus)
            own = (h, bus) == (source // 4, source % 4)
            expected = {(0, target + h * N // 2) for target in range(N // 2)} if own else set()
            assert pairs(edited) == expected


def test_channels_and_neurons_are_heard_as_before(mapping: Mapping) -> None:
    before = silicon.heard(mapping.config)
    edited = driven(mapping.config, sources(period={2: 100}, mask={2: 7}, poisson={2: 1}, rate={2: 3}))
    after = silicon.heard(edited)
    inputs = after.source < CHANNELS
    assert np.array_equal(after.source[inputs], before.source)
    assert np.array_equal(after.target[inputs], before.target)
    assert not after.confusions
    assert not after.unowned


def test_the_label_chooses_the_synapse(mapping: Mapping) -> None:
    background = sources(period={2: 100}, poisson={2: 1}, rate={2: 100}, mask={2: 3}, label={2: 8})
    assert pairs(driven(mapping.config, background, labels=[8, 10, 12])) == {(0, 0), (2, 1)}


def test_the_node_of_the_crossbar_and_the_driver_choose_labels(mapping: Mapping) -> None:
    # bits 6 and 7 are drawn: four row selects, four events with one synapse label
    background = sources(period={2: 100}, poisson={2: 1}, rate={2: 100}, mask={2: 0xC0}, label={2: 5})
    passing = driven(mapping.config, background, labels=5, node=(0x40, 0x40))
    assert pairs(passing) == {(number, target) for number in (1, 3) for target in range(N // 2)}
    # the driver is at position 9 of its bus
    mask = passing.routing.driver_mask.copy()
    mask[0, driver_at(2, 9)] = 0b11
    chosen = attrs.evolve(passing, routing=attrs.evolve(passing.routing, driver_mask=mask))
    assert pairs(chosen) == {(1, target) for target in range(N // 2)}
    assert not silicon.heard(passing).confusions


def test_sources_that_cannot_be_told_apart_are_confused(mapping: Mapping) -> None:
    both = sources(period={2: 100, 6: 50})
    edited = driven(mapping.config, both)
    assert not silicon.heard(edited).confusions
    mask, target = edited.routing.crossbar_mask.copy(), edited.routing.crossbar_target.copy()
    for source in (2, 6):
        mask[background_input(source), host_output(2)] = target[background_input(source), host_output(2)] = 0
    opened = attrs.evolve(edited.routing, crossbar_mask=mask, crossbar_target=target)
    (confusion,) = silicon.heard(attrs.evolve(edited, routing=opened)).confusions
    assert (confusion.where, confusion.sources) == ("host, link 2", (CHANNELS, CHANNELS + 1))


def test_the_way_to_the_host_is_a_node_of_the_crossbar(mapping: Mapping) -> None:
    background = sources(period={1: 100, 5: 100}, label={1: 3, 5: 4})
    for node, expected in (((0x3FFF, 3), [True, False]), ((0, 0), [True, True]), ((0, 1), [False, False])):
        routing = {name: getattr(mapping.config.routing, name).copy() for name in ("crossbar_mask", "crossbar_target")}
        for entry in (background_input(1), background_input(5)):
            routing["crossbar_mask"][entry, host_output(1)], routing["crossbar_target"][entry, host_output(1)] = node
        edited = attrs.evolve(
            mapping.config, routing=attrs.evolve(mapping.config.routing, **routing), background=background
        )
        sent = Feed(background, silicon.tables(edited)).between(0.0, 1e-6)
        assert sent.hemisphere.tolist() == [0, 1, 0, 1]
        assert sent.number.tolist() == [0, 1, 0, 1]
        assert sent.to_host.tolist() == expected * 2


# --- devices ----------------------------------------------------------------------------------------------------------

REGULAR = {"period": {2: 250}}
POISSON = {"period": {2: 100}, "poisson": {2: 1}, "rate": {2: 100}, "seed": {2: 11}, "mask": {2: 1}}


@pytest.mark.parametrize("values", [REGULAR, POISSON])
def test_a_source_makes_neurons_of_its_hemisphere_spike_and_again_after_a_reset(
    mapping: Mapping, values: dict[str, Any]
) -> None:
    edited = mapping.with_config(driven(mapping.config, sources(**values)))
    with hal.open("brainscales2") as chip:
        chip.load(edited)
        first = chip.run({}, 20 * MS)
        more = chip.run({}, 20 * MS)
        chip.reset(Reset.STATE)
        again = chip.run({}, 40 * MS)
        chip.reset(Reset.LOADED)
        loaded = chip.run({}, 20 * MS)
    spikes = first.spikes["out"]
    assert spikes.size > 3
    assert set(spikes["index"].tolist()) == {0, 1, 2}
    assert np.array_equal(loaded.spikes["out"], spikes)
    assert first.stats["events_in"].tolist() == [0, 0]
    # two runs are one: the sources go on where they were
    late = more.spikes["out"]
    assert np.array_equal(np.concatenate([spikes["t"], late["t"] + 20 * MS]), again.spikes["out"]["t"])
    assert first.stats["synops"] + more.stats["synops"] == pytest.approx(again.stats["synops"])
    with hal.open("brainscales2") as chip:
        chip.load(edited)
        assert np.array_equal(chip.run({}, 20 * MS).spikes["out"], spikes)


def test_regular_events_drive_neurons_at_the_times_of_the_core(mapping: Mapping) -> None:
    """250 cycles are 1 us on the chip, 1 ms in the model: the same as the host's events at those times."""
    edited = mapping.with_config(driven(mapping.config, sources(**REGULAR)))
    strong = edited.config.routing.weight.copy()
    rows = np.flatnonzero(mapping.config.routing.row_sign[0])
    strong[0, rows, : N // 2] = np.where(strong[0, rows, : N // 2] > 0, WEIGHT, 0)
    by_host = mapping.with_config(
        attrs.evolve(mapping.config, routing=attrs.evolve(mapping.config.routing, weight=strong))
    )
    events = hal.events(np.arange(1, 20) * MS, np.zeros(19, int))
    with hal.open("brainscales2", preset="ideal") as chip:
        chip.load(edited)
        own = chip.run({}, 20 * MS)
        chip.load(by_host)
        driven_by_host = chip.run({"in": events}, 20 * MS).spikes["out"]
    mine = driven_by_host[driven_by_host["index"] < N // 2]
    assert mine.size > 10
    assert np.array_equal(own.spikes["out"]["index"], mine["index"])
    assert np.abs(own.spikes["out"]["t"] - mine["t"]).max() <= 1
    # 19 events, three synapses each
    assert own.stats["synops"].tolist() == [57, 0]


def test_a_source_of_the_bottom_hemisphere_drives_the_other_neurons(mapping: Mapping) -> None:
    edited = mapping.with_config(driven(mapping.config, sources(period={6: 250}), 6))
    with hal.open("brainscales2") as chip:
        chip.load(edited)
        recording = chip.run({}, 20 * MS)
    assert set(recording.spikes["out"]["index"].tolist()) == {3, 4, 5}
    assert recording.stats["synops"].tolist() == [0, 57]


def test_nothing_comes_where_nobody_listens_and_nothing_is_counted(mapping: Mapping) -> None:
    edited = mapping.with_config(driven(mapping.config, sources(period={3: 250}), 2))
    with hal.open("brainscales2") as chip:
        chip.load(edited)
        recording = chip.run({}, 20 * MS)
    assert recording.spikes["out"].size == 0
    assert all(not recording.stats[name].any() for name in ("synops", "events_in", "events_out", "dropped"))


def test_events_let_out_to_the_host_count_take_the_link_and_are_no_spikes(mapping: Mapping) -> None:
    background = sources(period={6: 250, 2: 2}, poisson={2: 1}, rate={2: 128}, seed={2: 5})
    edited = driven(mapping.config, background, 6)
    mask, target = edited.routing.crossbar_mask.copy(), edited.routing.crossbar_target.copy()
    mask[background_input(2), host_output(2)] = target[background_input(2), host_output(2)] = 0
    routing = attrs.evolve(edited.routing, crossbar_mask=mask, crossbar_target=target)
    opened = mapping.with_config(attrs.evolve(edited, routing=routing))
    seen = {}
    for service in (0.0, 32e-9):
        with hal.open("brainscales2", link_event_s=service, link_capacity=4) as chip:
            chip.load(opened)
            seen[service] = chip.run({}, 20 * MS)
    free, busy = seen[0.0], seen[32e-9]
    # half of 125 million a second for 20 us
    sent = int(free.stats["events_out"][0])
    assert abs(sent - 2499 * 128 / 255) < 5 * 25
    spikes = free.spikes["out"]
    assert free.stats["events_out"][1] == spikes.size > 10
    assert not free.stats["dropped"].any()
    # the link takes 625 in that time: the others are lost, spikes among them, and told
    assert busy.stats["dropped"][1] == pytest.approx(sent + spikes.size - 625, abs=10)
    assert 0 < busy.spikes["out"].size < spikes.size
    assert {(str(row["what"]), int(row["core"])) for row in busy.intervals} == {("dropped", 1)}


def test_batches_are_runs_from_a_reset(mapping: Mapping) -> None:
    edited = mapping.with_config(driven(mapping.config, sources(**POISSON)))
    with hal.open("brainscales2") as chip:
        chip.load(edited)
        batch = chip.run_batch({"in": hal.EventBatch.of([hal.events([], [])] * 3)}, 20 * MS)
        chip.reset()
        alone = chip.run({}, 20 * MS).spikes["out"]
    found = batch.spikes["out"]
    for k in range(3):
        assert np.array_equal(found[k], alone)


def test_registers_alone_do(mapping: Mapping) -> None:
    edited = driven(mapping.config, sources(**POISSON))
    with hal.open("brainscales2") as chip:
        chip.load(mapping.with_config(edited))
        mapped = chip.run({}, 20 * MS).spikes["out"]
        chip.load(hal.mapper("brainscales2").adopt(edited))
        adopted = chip.run({}, 20 * MS).spikes["n"]
    assert mapped.size > 3
    assert np.array_equal(mapped, adopted)
