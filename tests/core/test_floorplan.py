"""Floor plans as data, the plain one for families without a drawing, and that every family's holds what is mapped."""

import attrs
import numpy as np
import pytest

import hal
from hal import floorplan
from hal.errors import PluginError
from hal.floorplan import Arrow, Box, FloorPlan
from hal.hookspecs import hookimpl
from hal.report.drawing import Colours, svg

DEVICES = ("speck2f", "speck2cmini", "loihi", "dynapse2", "brainscales2")


def test_what_cannot_be_drawn_is_told_all_at_once():
    boxes = [
        Box(x=float("nan"), y=0, width=1, height=1, label="a"),
        Box(x=0, y=0, width=-1, height=1, label="b"),
        Box(x=0, y=0, width=1, height=1, fill=-0.5, label="c"),
        Box(x=0, y=0, width=1, height=1, kind="blob", label="d"),
    ]
    arrows = [Arrow(points=((0, 0),), label="e"), Arrow(points=((0, 0), (float("inf"), 1)), label="f")]
    with pytest.raises(hal.ConfigError) as caught:
        FloorPlan(width=0, height=10, boxes=boxes, arrows=arrows)
    places = [problem.where for problem in caught.value.problems]
    assert places == ["box 'a'", "box 'b'", "box 'c'", "box 'd'", "arrow 'e'", "arrow 'f'", "floor plan"]


def test_a_plan_has_a_limited_number_of_parts():
    boxes = [Box(x=0, y=0, width=1, height=1)] * (floorplan.MAX_PARTS + 1)
    with pytest.raises(hal.ConfigError, match="floor plan") as caught:
        FloorPlan(width=1, height=1, boxes=boxes)
    assert caught.value.problems[0].limit == floorplan.MAX_PARTS


def test_a_family_without_a_drawing_gets_a_grid_of_its_cores(net, toys):
    toys.add("toy")
    mapping = hal.mapper("toy").map(net.relay(3))
    plan = floorplan.of(mapping)
    labels = [box.label for box in plan.boxes]
    assert labels == ["core 0", "cells: 3 neurons", "circuits"]
    assert plan.boxes[1].node == "cells"
    assert plan.boxes[2].fill == pytest.approx(3 / 64)
    assert plan.boxes[2].about == "circuits: 3 of 64 circuits (4.7%)"


def test_a_plain_plan_of_many_cores_is_cut_and_says_so(net, toys):
    spec = toys.add("toy", cores=500)
    mapping = hal.mapper("toy").map(net.relay(3))
    part = {"node": "cells", "index": np.arange(200), "core": np.arange(200), "neuron": 0}
    many = [{"node": f"n{k}", "index": [0], "core": 0, "neuron": k} for k in range(12)]
    wide = attrs.evolve(mapping, placement=hal.Placement.build([part, *many]))
    plan = floorplan.plain(spec, wide)
    cores = [box.label for box in plan.boxes if box.kind == "core"]
    assert cores == [f"core {k}" for k in range(64)]
    assert plan.caption == "200 cores in use of 500. The first 64 are drawn."
    assert "and 5 more" in [box.label for box in plan.boxes]


def test_memories_of_a_core_are_summed_over_its_populations(net, toys):
    spec = toys.add("toy")
    mapping = hal.mapper("toy").map(net.relay(3))
    rows = [
        hal.FitRow(resource="memory", place="core 0", node=node, needed=needed, limit=10, unit="words")
        for node, needed in (("a", 3), ("b", 9))
    ]
    plan = floorplan.plain(spec, attrs.evolve(mapping, fit=hal.FitReport(device="toy", rows=rows)))
    (memory,) = [box for box in plan.boxes if box.label == "memory"]
    assert memory.fill == pytest.approx(1.2)
    assert "#c22f2f" in svg(plan, Colours())


def test_a_plugin_that_gives_no_plan_is_named(net, toys):
    import types

    from hal import registry
    from hal.testing import registered

    @hookimpl
    def hal_floorplan(spec, mapping):
        return "a drawing"

    toys.add("toy")
    mapping = hal.mapper("toy").map(net.relay(3))
    _, spec = registry.current().resolve("toy")
    named = types.ModuleType("drawing_plugin")
    named.HAL_PLUGIN_API = "1.0"
    other = attrs.evolve(spec, name="drawn", family="drawn")
    hooks = {"hal_devices": lambda: [other], "hal_mapper": lambda spec: None, "hal_open": lambda spec: None}
    for name, hook in hooks.items():
        hook.__name__ = name
        setattr(named, name, hookimpl(hook))
    named.hal_floorplan = hal_floorplan
    with registered(named, family="drawn"), pytest.raises(PluginError, match=r"hal_floorplan.*returned str"):
        floorplan.of(attrs.evolve(mapping, device="drawn"))


def test_colours_are_the_same_for_the_same_names():
    colours = Colours(["a", "b"])
    assert colours.of("b") == Colours(["x", "b"]).of("b")
    assert colours.of("a") != colours.of("b")
    assert colours.of("") == Colours().of("")


def test_a_drawing_is_escaped_and_small():
    box = Box(x=0.123456, y=0, width=300, height=40, label="<b>&", about='"<i>')
    arrow = Arrow(points=((0, 0), (10, 0)), label="<u>", about="<s>")
    drawn = svg(FloorPlan(width=300, height=40, boxes=[box], arrows=[arrow]), Colours())
    for bad in ("<b>", "<i>", "<u>", "<s>"):
        assert bad not in drawn
    assert "&lt;b&gt;&amp;" in drawn
    assert 'x="0.12"' in drawn


# --- families -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mapped(net):
    """device -> a mapping of the same small net on it."""

    def make(device):
        clocked = device != "speck2f" and not device.startswith("speck")
        parts = [
            net.input("input", 6),
            net.linear("a", np.eye(4, 6) + 0.5 * np.eye(4, 6, 1)),
            *(
                [net.neuron(hal_cuba(), "first", 4, tau_mem=0.02, tau_syn=0.01)]
                if clocked
                else [net.spiking("first", 4)]
            ),
            net.linear("b", np.ones((3, 4))),
            *(
                [net.neuron(hal_cuba(), "second", 3, tau_mem=0.02, tau_syn=0.01)]
                if clocked
                else [net.spiking("second", 3)]
            ),
            net.output("output", 3),
        ]
        semantics = {"profile": "nir", "dt_ns": 1_000_000, "tau_unit": "s"} if clocked else {}
        return hal.mapper(device).map(net.chain(*parts, **semantics))

    return make


def hal_cuba():
    from hal import nodes

    return nodes.CubaLIF


@pytest.mark.parametrize("device", DEVICES)
def test_a_family_draws_every_population_and_stays_within_its_plan(mapped, device):
    mapping = mapped(device)
    plan = floorplan.of(mapping)
    assert {"first", "second"} <= {box.node for box in plan.boxes}
    for box in plan.boxes:
        assert -1 <= box.x <= box.x + box.width <= plan.width + 1, box
        assert -1 <= box.y <= box.y + box.height <= plan.height + 1, box
    for arrow in plan.arrows:
        for x, y in arrow.points:
            assert 0 <= x <= plan.width
            assert 0 <= y <= plan.height
    assert len(svg(plan, Colours())) < 700_000
    assert plan.caption


def test_speck_has_its_cores_memories_and_arrows(mapped):
    plan = floorplan.of(mapped("speck2f"))
    mapping = mapped("speck2f")
    cores = [box for box in plan.boxes if box.kind == "core" and box.label.startswith("core")]
    assert len(cores) == 9
    assert [arrow.about for arrow in plan.arrows] == ["input -> core 0", "core 0 -> core 1"]
    for row in mapping.fit.rows:
        if row.resource.endswith("memory"):
            place = f"{row.resource} of {row.place}: {row.needed:,.0f} of {row.limit:,.0f} words"
            (bar,) = [box for box in plan.boxes if box.about.startswith(place)]
            assert bar.fill == pytest.approx(row.needed / row.limit)
    small = floorplan.of(mapped("speck2cmini"))
    assert len([box for box in small.boxes if box.kind == "core" and box.label.startswith("core")]) == 5
    assert not [box for box in small.boxes if box.label == "readout"]


def test_speck_draws_every_kind_of_way_and_registers_edited_by_hand(mapped):
    mapping = mapped("speck2f")
    config = mapping.config
    first = config.cnn_layers[0]
    there = [attrs.evolve(first.destinations[0], enable=True, layer=layer, pooling=2) for layer in (7, 12)]
    layers = (attrs.evolve(first, destinations=tuple(there)), *config.cnn_layers[1:])
    edited = attrs.evolve(mapping, config=attrs.evolve(config, cnn_layers=layers), fit=hal.FitReport(device="speck2f"))
    plan = floorplan.of(edited)
    abouts = {arrow.about for arrow in plan.arrows}
    assert {"core 0 -> core 7, sum pooling 2 x 2", "core 0 -> readout, sum pooling 2 x 2"} <= abouts
    assert any(box.about.startswith("kernel memory of core 0: 24 of") for box in plan.boxes)


def test_dynapse2_counts_cam_and_sram(mapped):
    mapping = mapped("dynapse2")
    plan = floorplan.of(mapping)
    assert sum(box.kind == "cell" for box in plan.boxes) == 4 * 256
    used = int((mapping.config.cam.dendrite > 0).sum())
    said = [box.label for box in plan.boxes if box.label.endswith("of 16,384")]
    assert sum(int(label.split()[0].replace(",", "")) for label in said) == used > 0
    fullest = int((mapping.config.cam.dendrite > 0).sum(axis=1).max())
    cells = [box.fill for box in plan.boxes if box.kind == "cell" and box.node]
    assert len(cells) == 7
    assert max(cells) == pytest.approx(fullest / 64)
    assert any(arrow.about.startswith("host -> chip 0, core 0") for arrow in plan.arrows)


def test_dynapse2_draws_several_chips_and_the_packets_between_them(net):
    sizes = (600, 500)
    weights = np.zeros((500, 600), np.float32)
    weights[np.arange(500), np.arange(500)] = 2.0
    parts = (
        net.input("input", 4),
        net.linear("a", np.ones((600, 4))),
        net.neuron(hal_cuba(), "first", 600, tau_mem=0.02, tau_syn=0.01),
        net.linear("b", weights),
        net.neuron(hal_cuba(), "second", 500, tau_mem=0.02, tau_syn=0.01),
        net.output("output", 500),
    )
    model = net.chain(*parts, profile="nir", dt_ns=1_000_000, tau_unit="s")
    mapping = hal.mapper("dynapse2").map(model, {"grid": (2, 1)})
    plan = floorplan.of(mapping)
    assert [box.label for box in plan.boxes if box.kind == "chip"] == ["chip 0", "chip 1"]
    assert sum(box.kind == "cell" and bool(box.node) for box in plan.boxes) == sum(sizes)
    chip = mapping.config.neurons.chip
    crossing = int((chip[:500] != chip[600:]).sum())
    between = [arrow.about for arrow in plan.arrows if arrow.about.startswith("chip")]
    assert sum(int(about.split(": ")[1].split()[0].replace(",", "")) for about in between) == crossing > 0
    assert plan.arrows[0].about.startswith("host -> the grid")


def test_loihi_draws_128_cores_and_counts_compartments(mapped):
    mapping = mapped("loihi")
    plan = floorplan.of(mapping)
    assert sum(box.kind == "core" for box in plan.boxes) == 128
    abouts = [box.about for box in plan.boxes if box.kind == "cell"]
    assert sorted(about.split(": ")[1] for about in abouts) == [
        "first, 4 of 1,024 compartments", "second, 3 of 1,024 compartments"
    ]  # fmt: skip
    assert any(f"{mapping.config.synapses.target.size} synapses" in box.about for box in plan.boxes)


def test_brainscales2_draws_rows_drivers_and_circuits(mapped):
    mapping = mapped("brainscales2")
    plan = floorplan.of(mapping)
    routing = mapping.config.routing
    for hemisphere in range(2):
        rows = int((routing.row_sign[hemisphere] != 0).sum())
        assert f"rows {rows} of 256" in [box.label for box in plan.boxes]
    parts = [box for box in plan.boxes if box.kind == "cell" and box.sign]
    per_part = [int(box.about.rsplit(": ", 1)[1].split()[0]) for box in parts]
    assert sum(per_part) == int((routing.weight > 0).sum()) > 0
    assert sum(box.about.startswith("driver ") for box in plan.boxes) == int(routing.driver_on.sum())
    circuits = [box for box in plan.boxes if box.about.startswith("circuit ")]
    assert len(circuits) == mapping.config.circuits.circuit.size == 7


def test_a_full_synapse_array_is_drawn_in_larger_parts(mapped):
    mapping = mapped("brainscales2")
    config = mapping.config
    full = attrs.evolve(config.routing, weight=np.full_like(config.routing.weight, 1))
    plan = floorplan.of(attrs.evolve(mapping, config=attrs.evolve(config, routing=full)))
    assert sum(box.about.startswith("row ") for box in plan.boxes) <= 4000
    assert "a part is 64 columns" in plan.caption
