"""Networks that use one feature of routing each, few neurons and few spikes: every answer can be told by counting.

Weights are strong (S: one event fires) or weak (W: two do). No neuron is near its threshold when the last event comes,
so that it does not matter whether the threshold is subtracted or the neuron reset, nor what order a step has within.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.events import Records
from hal_conformance.networks.draft import Case, Draft, Feature, at, both_forms
from hal_conformance.networks.witness import CHANNELS, STEP_NS, TAIL_STEPS, WEAK, Witness, silence

W: Final = float(WEAK)
STEPS: Final = 24 + TAIL_STEPS
DELAY_STEPS: Final = 3
ALL: Final = frozenset({"route.fanout", "route.merge", "route.inputs", "route.outputs"})

Drawing = Callable[[Draft, frozenset[str]], Iterator[Feature]]


def routed(word: str, witness: Witness, words: frozenset[str] = ALL) -> Iterator[Feature]:
    """The networks that show a `route.*` word, by form; words: which others a network may use on the way."""
    for draw in DRAWINGS[word]:
        for draft in both_forms(witness):
            yield from draw(draft, words)


def _eye(size: int, weight: float) -> list[list[float]]:
    return [[weight * (row == column) for column in range(size)] for row in range(size)]


def _case(what: str, wanted: Mapping[str, Records], **stimulus: Records) -> Case:
    return Case(what=what, stimulus=stimulus, steps=STEPS, wanted=wanted)


# --- one source, two targets ------------------------------------------------------------------------------------------


def _heard(draft: Draft, source: str, words: frozenset[str], form: str, node: str) -> Iterator[Feature]:
    """Two populations behind one source, each strong where the other is weak."""
    strong = draft.witness.dialect.strong
    left, right = draft.neurons("left", 2), draft.neurons("right", 2)
    draft.weights(source, left, [[strong, 0], [0, W]])
    draft.weights(source, right, [[W, 0], [0, strong]])
    wanted = {left: at((2, 0), (9, 0), (20, 1)), right: at((9, 0), (12, 1), (20, 1))}
    record: tuple[str, ...] = (left, right)
    if "route.outputs" in words:
        wanted = {draft.output(f"output {name}", name): train for name, train in wanted.items()}
        record = ()
    elif "route.merge" in words:
        both = draft.neurons("both", 2)
        for name in (left, right):
            draft.weights(name, both, _eye(2, strong))
        draft.output("output", both)
    else:
        draft.output("output", left)
    stimulus = at((2, 0), (9, 0), (12, 1), (20, 1))
    case = _case("events on both channels", wanted, input=stimulus)
    yield Feature(form=form, node=node, model=draft.model(), cases=(case,), record=record)


def _fanout_of_neurons(draft: Draft, words: frozenset[str]) -> Iterator[Feature]:
    source = draft.neurons("source", 2)
    draft.weights(draft.input("input", 2), source, _eye(2, draft.witness.dialect.strong))
    yield from _heard(draft, source, words, "neurons with two targets", source)


def _fanout_of_input(draft: Draft, words: frozenset[str]) -> Iterator[Feature]:
    yield from _heard(draft, draft.input("input", 2), words, "an Input with two targets", "input")


# --- two sources, one target ------------------------------------------------------------------------------------------


def _summed(draft: Draft, one: str, two: str, form: str, feeds: Callable[..., dict[str, Records]]) -> Feature:
    """Neuron 0 hears one source, neuron 1 the other, neuron 2 both, weakly."""
    strong = draft.witness.dialect.strong
    target = draft.neurons("sum", 3)
    draft.weights(one, target, [[strong, 0], [0, 0], [W, 0]])
    draft.weights(two, target, [[0, 0], [0, strong], [0, W]])
    output = draft.output("output", target)
    first, second = at((3, 0)), at((3, 1))
    cases = (
        _case("one source, then the other", {output: at((3, 0), (4, 1), (4, 2))}, **feeds(first, at((4, 1)))),
        _case("both sources in one step", {output: at((3, 0), (3, 1), (3, 2))}, **feeds(first, second)),
        _case("the first source alone", {output: first}, **feeds(first, silence())),
        _case("the second source alone", {output: second}, **feeds(silence(), second)),
    )
    return Feature(form=form, node=target, model=draft.model(), cases=cases)


def _merge_of_branches(draft: Draft, words: frozenset[str]) -> Iterator[Feature]:
    if "route.fanout" not in words:
        return
    strong, source = draft.witness.dialect.strong, draft.input("input", 2)
    one, two = draft.neurons("one", 2), draft.neurons("two", 2)
    draft.weights(source, one, [[strong, 0], [0, 0]])
    draft.weights(source, two, [[0, 0], [0, strong]])

    def feeds(first: Records, second: Records) -> dict[str, Records]:
        return {"input": np.sort(np.concatenate([first, second]), order=["t", "index"])}

    yield _summed(draft, one, two, "two branches of one Input", feeds)


def _merge_of_inputs(draft: Draft, words: frozenset[str]) -> Iterator[Feature]:
    if "route.inputs" not in words:
        return
    one, two = draft.input("one", 2), draft.input("two", 2)

    def feeds(first: Records, second: Records) -> dict[str, Records]:
        return {"one": first, "two": second}

    yield _summed(draft, one, two, "two Inputs", feeds)


# --- cycles -----------------------------------------------------------------------------------------------------------


def _fed_back(
    draft: Draft, form: str, node: str, case: Callable[[int], Case], record: tuple[str, ...] = ()
) -> Iterator[Feature]:
    """What comes back acts a step later; at once where the device says that it changes the delay."""
    model = draft.model()
    late = model.semantics.rule(model.nodes[node]).feedback_delay
    others = {"feedback_delay": (case(0),)}
    yield Feature(form=form, node=node, model=model, cases=(case(late),), record=record, others=others)


def _cycle_of_one(draft: Draft, words: frozenset[str]) -> Iterator[Feature]:
    """Neuron 0 wakes neuron 1 half, an event does the rest, and neuron 1 fires neuron 2."""
    strong = draft.witness.dialect.strong
    ring = draft.neurons("ring", 3)
    draft.weights(draft.input("input", 2), ring, [[strong, 0], [0, W], [0, 0]])
    draft.weights(ring, ring, [[0, 0, 0], [W, 0, 0], [0, strong, 0]])
    draft.output("output", ring)

    def case(late: int) -> Case:
        wanted = {"output": at((5, 0), (9, 1), (9 + late, 2))}
        return _case("feedback to the same population", wanted, input=at((5, 0), (9, 1)))

    yield from _fed_back(draft, "neurons that feed themselves", ring, case)


def _cycle_of_two(draft: Draft, words: frozenset[str]) -> Iterator[Feature]:
    """Neuron 0 of one population fires neuron 0 of another, which fires neuron 1 of the first."""
    strong = draft.witness.dialect.strong
    front, far = draft.neurons("front", 2), draft.neurons("far", 2)
    draft.weights(draft.input("input", 2), front, [[strong, 0], [0, 0]])
    draft.weights(front, far, [[strong, 0], [0, 0]])
    draft.weights(far, front, [[0, 0], [strong, 0]])
    draft.output("output", front)

    def case(late: int) -> Case:
        wanted = {"output": at((5, 0), (5 + 2 * late, 1)), far: at((5 + late, 0))}
        return _case("feedback by way of another population", wanted, input=at((5, 0)))

    yield from _fed_back(draft, "two populations in a cycle", front, case, record=(far,))


# --- several Inputs and Outputs ---------------------------------------------------------------------------------------


def _fed_apart(outputs: tuple[str, str] | None) -> tuple[Case, ...]:
    """Cases of two Inputs of two channels: west is on neurons 2 and 3 of one Output, or each has one of its own."""
    east, west = at((1, 0), (4, 1), (10, 0)), at((1, 1), (6, 0), (12, 1))

    def wanted(**given: Records) -> dict[str, Records]:
        trains = [given.get(name, silence()).copy() for name in ("east", "west")]
        if outputs is not None:
            return dict(zip(outputs, trains, strict=True))
        trains[1]["index"] += 2
        return {"output": np.sort(np.concatenate(trains), order=["t", "index"])}

    return (
        _case("both Inputs fed", wanted(east=east, west=west), east=east, west=west),
        _case("the same, keys the other way round", wanted(east=east, west=west), west=west, east=east),
        _case("only 'east' fed", wanted(east=east), east=east),
        _case("only 'west' fed, 'east' empty", wanted(west=west), west=west, east=silence()),
        _case("neither fed", wanted()),
    )


def _inputs_into_one(draft: Draft, words: frozenset[str]) -> Iterator[Feature]:
    if "route.merge" not in words:
        return
    strong = draft.witness.dialect.strong
    west, east = draft.input("west", 2), draft.input("east", 2)
    target = draft.neurons("target", 4)
    draft.weights(east, target, [[strong, 0], [0, strong], [0, 0], [0, 0]])
    draft.weights(west, target, [[0, 0], [0, 0], [strong, 0], [0, strong]])
    draft.output("output", target)
    yield Feature(form="two Inputs of one population", node="west", model=draft.model(), cases=_fed_apart(None))


def _inputs_apart(draft: Draft, words: frozenset[str]) -> Iterator[Feature]:
    strong = draft.witness.dialect.strong
    for name in ("west", "east"):
        draft.weights(draft.input(name, 2), draft.neurons(f"of {name}", 2), _eye(2, strong))
    record: tuple[str, ...] = ("of east", "of west")
    cases = _fed_apart(("of east", "of west"))
    draft.output("to east", "of east")
    if "route.outputs" in words:
        draft.output("to west", "of west")
        record, cases = (), _fed_apart(("to east", "to west"))
    form = "two Inputs of two populations"
    yield Feature(form=form, node="west", model=draft.model(), cases=cases, record=record)


def _outputs_in_line(draft: Draft, words: frozenset[str]) -> Iterator[Feature]:
    strong = draft.witness.dialect.strong
    near, far = draft.neurons("near", 2), draft.neurons("far", 2)
    draft.weights(draft.input("input", 2), near, _eye(2, strong))
    draft.weights(near, far, [[0, strong], [W, 0]])
    draft.output("second", near)
    draft.output("first", far)
    stimulus = at((2, 0), (7, 0), (10, 1))
    wanted = {"second": stimulus, "first": at((7, 1), (10, 0))}
    case = _case("an Output of each layer", wanted, input=stimulus)
    yield Feature(form="an Output of each layer", node="second", model=draft.model(), cases=(case,))


def _outputs_of_one(draft: Draft, words: frozenset[str]) -> Iterator[Feature]:
    near = draft.neurons("near", 2)
    draft.weights(draft.input("input", 2), near, _eye(2, draft.witness.dialect.strong))
    draft.output("second", near)
    draft.output("first", near)
    stimulus = at((2, 0), (7, 0), (10, 1))
    case = _case("two Outputs of the same neurons", {"second": stimulus, "first": stimulus}, input=stimulus)
    yield Feature(form="two Outputs of one population", node="second", model=draft.model(), cases=(case,))


DRAWINGS: Final[Mapping[str, tuple[Drawing, ...]]] = {
    "route.fanout": (_fanout_of_neurons, _fanout_of_input),
    "route.merge": (_merge_of_branches, _merge_of_inputs),
    "route.recurrent": (_cycle_of_one, _cycle_of_two),
    "route.inputs": (_inputs_into_one, _inputs_apart),
    "route.outputs": (_outputs_in_line, _outputs_of_one),
}


# --- delays -----------------------------------------------------------------------------------------------------------


def delayed(witness: Witness) -> Iterator[Feature]:
    """The witness with a Delay on one of its projections: of equal steps, or other ones for each channel."""
    channels = witness.model.nodes[witness.input].size
    each = np.full(channels, float(DELAY_STEPS))
    yield _delayed(witness, "a Delay behind the Input", witness.input, each)
    yield _delayed(witness, "a Delay of its own for each channel", witness.input, np.arange(channels, 0.0, -1.0))
    if len(witness.populations) > 1:
        name = witness.populations[0]
        each = np.full(witness.model.nodes[name].size, float(DELAY_STEPS))
        yield _delayed(witness, "a Delay between two populations", name, each)


def _delayed(witness: Witness, form: str, source: str, steps: NDArray[np.float64]) -> Feature:
    model = witness.model
    shape = model.nodes[source].output_shape
    node = nodes.Delay(name="late", input_shape=shape, output_shape=shape, delay=steps.reshape(shape))
    edges = [(node.name if a == source else a, b) for a, b in model.edges] + [(source, node.name)]
    changed = type(model).of({**model.nodes, node.name: node}, edges, model.semantics)
    rng = np.random.default_rng(1)
    # far enough apart that no two meet after their delays
    when = np.arange(0, 60, 2 + int(np.ptp(steps)))
    stimulus = at(*((int(step), int(rng.integers(CHANNELS))) for step in when))
    length = int(when[-1]) + int(steps.max()) + TAIL_STEPS
    return Feature(
        form=form,
        node=node.name,
        model=changed,
        cases=(
            Case(
                what="events far apart",
                stimulus={witness.input: stimulus},
                steps=length,
                wanted=_after(witness, source, stimulus, steps, length),
            ),
        ),
        record=witness.populations[:-1],
    )


def _after(
    witness: Witness,
    source: str,
    stimulus: Records,
    steps: NDArray[np.float64],
    length: int,
) -> dict[str, Records]:
    """The witness's own answer, with what leaves `source` held back."""
    if source != witness.input:
        wanted = witness.answer(stimulus, length)
        moved = wanted[witness.output].copy()
        moved["t"] += int(steps[0]) * STEP_NS
        return {witness.output: moved, source: wanted[source]}
    later = stimulus.copy()
    later["t"] += (steps[stimulus["index"]] * STEP_NS).astype(np.int64)
    later = np.sort(later, order=["t", "index"])
    wanted = witness.answer(later, length)
    return {name: wanted[name] for name in (*witness.populations[:-1], witness.output)}


__all__ = ["ALL", "DELAY_STEPS", "DRAWINGS", "delayed", "routed"]
