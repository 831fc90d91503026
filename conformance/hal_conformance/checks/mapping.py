"""Mapping: what fits and what does not, where everything went, and under which names."""

from __future__ import annotations

from collections import Counter
from typing import Final

import attrs
import numpy as np

from hal.config import to_json
from hal.errors import DoesNotFitError
from hal.model import Model
from hal_conformance.context import STEP_NS, STEPS, Context
from hal_conformance.failure import demand
from hal_conformance.fitting import agree, complete
from hal_conformance.networks.grown import sized
from hal_conformance.networks.oversize import large, undeclared, without_step
from hal_conformance.raising import raises
from hal_conformance.rulebook import check

HARD_NAMES: Final = {
    "input": "in.put 1",
    "hidden": "β/hidden",
    "neurons": "neurons..",
    "output": "out put%2F",
    "fc1": "Fc1",
}
"""What people call things: dots, blanks, slashes, letters beyond ASCII, escapes, capitals."""


SIZED: Final = 12
"""Networks of random sizes that are checked and mapped."""


@check("MAP-001", level="silver")
def check_witness(ctx: Context) -> None:
    """Given the suite's witness networks, when offered in order, then one that the device's words allow fits."""
    witness = ctx.witness
    mapping = ctx.mapping()
    ctx.measure("witness", witness.label)
    demand(mapping.device == ctx.spec.name, f"the mapping is for {mapping.device!r}")
    demand(mapping.fit.fits, "map returned a mapping whose own report says that it does not fit")
    demand(mapping.model is not None, "the mapping does not carry the model")
    given = [port.name for port in mapping.inputs], [port.name for port in mapping.outputs]
    demand(given == ([witness.input], [witness.output]), f"inputs and outputs are called {given}")
    for port in (*mapping.inputs, *mapping.outputs):
        wanted = witness.model.nodes[port.name].output_shape
        demand(port.shape == wanted, f"port {port.name!r} has shape {port.shape}, the model says {wanted}")
        demand(port.kind == "events", f"port {port.name!r} is of kind {port.kind!r}")


@check("MAP-002", level="silver")
def check_agreement(ctx: Context) -> None:
    """Given networks that fit and that do not, when checked and mapped, then both say the same of each, in full."""
    witness = ctx.witness
    fitting = 0
    models = {"the witness": witness.model, "the witness reweighted": witness.reweighted().model}
    for word, _, model in undeclared(witness, ctx.capabilities):
        models[f"the witness with {word}"] = model
    for k, scale in enumerate(10.0 ** ctx.rng.uniform(-3, 6, 6)):
        first = witness.model.nodes["fc1"]
        weight = ctx.rng.normal(0, scale, first.weight.shape)  # type: ignore[attr-defined]
        nodes = {**witness.model.nodes, "fc1": attrs.evolve(first, weight=weight)}  # type: ignore[call-arg]
        models[f"random weights {k}"] = Model.of(nodes, witness.model.edges, witness.model.semantics)
    models |= {f"random sizes, {made.label}": made.model for made in sized(witness, ctx.rng, SIZED)}
    for what, model in models.items():
        fitting += agree(ctx, what, model).fits
    ctx.measure("models", len(models))
    ctx.measure("fitting", fitting)


@check("MAP-003", level="silver")
def check_large(ctx: Context) -> None:
    """Given a million neurons, when a device of limited resources is asked, then it refuses with all numbers."""
    limits = {resource.name for resource in ctx.spec.resources if resource.when == "map"}
    if not limits:
        ctx.measure("resources", "none declared")
        return
    model = large(ctx.witness)
    report = ctx.mapper().check(model)
    error = raises(DoesNotFitError, "mapping a million neurons", lambda: ctx.mapper().map(model))
    demand(not report.fits, "check says that a million neurons fit, map refuses them")
    demand(report.to_json() == error.report.to_json(), "check and map give different reasons")
    complete(ctx, "a million neurons", report, model)
    over = [row for row in report.rows if not row.ok]
    demand(over, f"no row of the report is over its limit: {report}")
    unknown = sorted({row.resource for row in over} - limits)
    demand(not unknown, f"rows name resources the spec does not declare: {', '.join(unknown)}")
    listed = len(error.problems)
    wanted = len(over) + len(report.refused)
    demand(listed == wanted, f"the error lists {listed} problems, the report has {wanted} reasons")
    ctx.measure("reasons", listed)


@check("MAP-004", level="silver")
def check_undeclared(ctx: Context) -> None:
    """Given a network with several faults, when mapped, then all are in one report, a step nobody told among them."""
    if ctx.spec.clock.kind == "clocked":
        report = agree(ctx, "a model without a step", without_step(ctx.witness.model))
        demand(any(f.field == "dt_ns" for f in report.refused), f"a clocked device takes a model without dt: {report}")
    _both(ctx)


def _both(ctx: Context) -> None:
    """Two faults at two nodes are both in the report."""
    found = [(word, model) for word, node, model in undeclared(ctx.witness, ctx.capabilities) if node == "odd one"]
    words = {word: model for word, model in found if word in ("neuron.threshold", "neuron.lif", "delay.axonal")}
    if len(words) < 2:
        return
    (one, first), (two, second) = list(words.items())[:2]
    renamed = attrs.evolve(second.nodes["odd one"], name="another one")
    before = next(a for a, b in first.edges if b == "odd one")
    edges = [(a, b) for a, b in first.edges if b != "odd one"]
    edges += [(before, "another one"), ("another one", "odd one")]
    model = Model.of({**first.nodes, "another one": renamed}, edges, first.semantics)
    error = raises(DoesNotFitError, f"mapping a network with {one} and {two}", lambda: ctx.mapper().map(model))
    refused = {finding.node for finding in error.report.refused}
    demand(refused >= {"odd one", "another one"}, f"of two faulty nodes the report names {sorted(refused)}")


@check("MAP-005", level="silver")
def check_placement(ctx: Context) -> None:
    """Given a mapping, when every neuron is looked up, then it sits at one place, and there sits that neuron alone."""
    witness, mapping = ctx.witness, ctx.mapping()
    columns = mapping.placement.rows.dtype.names or ()
    extras = [column.name for column in ctx.spec.placement_extras]
    demand(list(columns[6:]) == extras, f"extra columns are {list(columns[6:])}, the spec declares {extras}")
    held = Counter(tuple(row) for row in mapping.placement.rows[["chip", "core", "neuron"]] if row["core"] >= 0)
    shared = [place for place, n in held.items() if n > 1]
    demand(not shared, f"{len(shared)} places (chip, core, neuron) are given twice, the first: {shared[:1]}")
    for name in witness.populations:
        rows = mapping.where(name)
        size = witness.model.nodes[name].size
        parts = Counter((int(row["index"]), int(row["part"])) for row in rows)
        demand(max(parts.values(), default=0) <= 1, f"{name!r}: a neuron's part is placed more than once")
        there = sorted(index for index, part in parts if part == 0)
        demand(there == list(range(size)), f"{name!r} has {size} neurons, placed are {there}")
        cores = rows["core"]
        demand((cores >= 0).all() and (cores < ctx.spec.cores).all(), f"{name!r} sits on cores {sorted(set(cores))}")
        for row in rows:
            place = int(row["chip"]), int(row["core"]), int(row["neuron"])
            found = mapping.who(*place)
            demand(found == (name, row["index"]), f"where says {name!r}[{row['index']}] is at {place}, who {found}")
        one = mapping.where(name, [size - 1])
        demand(set(one["index"]) == {size - 1}, f"where({name!r}, [{size - 1}]) gives {set(one['index'])}")
    feeding = mapping.where(witness.populations[-1])
    demand(np.array_equal(mapping.where(witness.output), feeding), "where(Output) is not where its population sits")
    entry = mapping.where(witness.input)
    channels = witness.model.nodes[witness.input].size
    demand(sorted(entry["index"]) == list(range(channels)), f"rows of the Input are {sorted(entry['index'])}")
    demand(mapping.who(0, ctx.spec.cores + 7, 0) is None, "who finds a neuron on a core that does not exist")


@check("MAP-006", level="silver")
def check_fates(ctx: Context) -> None:
    """Given a mapping, when its fates are read, then there is one line per node, and neurons are on the chip."""
    witness, mapping = ctx.witness, ctx.mapping()
    of_model = [fate.node for fate in mapping.fates if fate.fate != "added"]
    demand(of_model == list(witness.model.order()), f"fates are of {of_model}, the model has {witness.model.order()}")
    for fate in mapping.fates:
        if fate.fate == "added":
            demand(fate.node not in witness.model.nodes, f"{fate.node!r} was added, and is in the model")
            demand(fate.reason, f"nobody says why {fate.node!r} was added")
        if fate.node in witness.populations:
            demand(fate.fate == "chip", f"the neurons {fate.node!r} have the fate {fate.fate!r}")
        if fate.node in (witness.input, witness.output):
            demand(fate.fate == "folded", f"{fate.node!r} has the fate {fate.fate!r}, not 'folded'")
    demand(not len(mapping.losses), f"small integers were lost: {mapping.losses.summary()}")


@check("MAP-007", level="silver")
def check_pure(ctx: Context) -> None:
    """Given a model, when it is mapped twice, then both mappings are equal and the model is as it was."""
    model = ctx.witness.model
    before = model.fingerprint, Model.of(model.nodes, model.edges, model.semantics).fingerprint
    one, two = ctx.mapping(), ctx.mapping()
    demand(to_json(one.config) == to_json(two.config), "the same model gives other registers the second time")
    demand(not one.placement.moved(two.placement), f"it moves {one.placement.moved(two.placement)} the second time")
    after = model.fingerprint, Model.of(model.nodes, model.edges, model.semantics).fingerprint
    demand(before == after, "mapping changed the model's parameters")


@check("MAP-008", level="silver")
def check_names(ctx: Context) -> None:
    """Given nodes of unusual names, when mapped, run and recorded, then these are the names in all that comes back."""
    names = {old: new for old, new in HARD_NAMES.items() if old in ctx.witness.model.nodes}
    witness = ctx.witness.renamed(names)
    mapping = ctx.mapping(witness, record=witness.populations[:-1])
    placed = set(mapping.placement.nodes)
    demand(placed >= {witness.input, *witness.populations}, f"the placement is of {sorted(placed)}")
    stimulus = ctx.stimulus()
    device = ctx.loaded(mapping)
    memory = ctx.run(device, {witness.input: stimulus}, STEPS * STEP_NS)
    names_given = sorted(memory.spikes)
    demand(names_given == sorted({witness.output, *witness.populations[:-1]}), f"spikes are of {names_given}")
    wanted = witness.answer(stimulus, STEPS)
    for name in memory.spikes:
        ctx.same("under unusual names", memory.spikes[name], wanted[name], mapping, name)
    stored = memory.save(ctx.folder() / "recording")
    for name in memory.spikes:
        demand(np.array_equal(stored.spikes[name], memory.spikes[name]), f"{name!r} read back from disk differs")
