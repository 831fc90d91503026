"""Networks of one kind of neuron each: exact where arithmetic can tell, else with what they must not be taken for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs
import numpy as np

from hal import nodes
from hal.events import Records
from hal.model import Model
from hal.nodes import Node
from hal_conformance.networks.draft import Case, Draft, Feature, at, both_forms
from hal_conformance.networks.witness import (
    DIALECTS,
    FORMS,
    TAIL_STEPS,
    THRESHOLD,
    WEAK,
    Witness,
    make,
    neurons,
    shape_of,
)

TAU_STEPS: Final = 8.0
TAU_SYN_STEPS: Final = 2.0
PAUSE_STEPS: Final = 60
"""So long that nothing is left: exp(-60 / 8) of a weak event is 0.002."""
RANDOM_STEPS: Final = 256
CURRENT_WEAK: Final = 2
"""Weak where a current goes on: 2 comes to 2.9 at most by itself, 5.6 with a second one a step later."""
KINDS: Final = {
    "neuron.lif": ("LIF", {"tau": TAU_STEPS}, {"no leak": {"tau": np.inf}}),
    "neuron.cuba": (
        "CubaLIF",
        {"tau_mem": TAU_STEPS, "tau_syn": TAU_SYN_STEPS},
        {"no leak": {"tau_mem": np.inf}, "a current of one step": {"tau_syn": 1.0}},
    ),
}
INTEGRATORS: Final[tuple[tuple[str, dict[str, float], dict[str, dict[str, float]]], ...]] = (
    ("I", {}, {}),
    ("LI", {"tau": TAU_STEPS}, {"no leak": {"tau": np.inf}}),
    (
        "CubaLI",
        {"tau_mem": TAU_STEPS, "tau_syn": TAU_SYN_STEPS},
        {"no leak": {"tau_mem": np.inf}, "a current of one step": {"tau_syn": 1.0}},
    ),
)
NEAR: Final = (0, PAUSE_STEPS * 3)
"""Steps of the first of two weak events, one step apart."""
FAR: Final = (PAUSE_STEPS, PAUSE_STEPS * 2)
"""Steps of two weak events that are far apart."""


# --- without leak -----------------------------------------------------------------------------------------------------


def unleaking(rng: np.random.Generator) -> Iterator[Feature]:
    """IF neurons: what an event leaves is there after a long pause."""
    for dialect in DIALECTS:
        for form in FORMS:
            witness = make("IF", {}, dialect, form)
            steps = RANDOM_STEPS
            pauses = at((0, 1), (PAUSE_STEPS, 1), (PAUSE_STEPS + 1, 2), (2 * PAUSE_STEPS, 2))
            cases = tuple(
                Case(what=what, stimulus={witness.input: fed}, steps=steps, wanted=_output(witness, fed, steps))
                for what, fed in (("events far apart", pauses), ("random events", witness.stimulus(rng, steps)))
            )
            yield Feature(form="IF neurons", node=witness.populations[0], model=witness.model, cases=cases)


def _output(witness: Witness, stimulus: Records, steps: int) -> dict[str, Records]:
    return {witness.output: witness.answer(stimulus, steps)[witness.output]}


# --- with leak --------------------------------------------------------------------------------------------------------


def leaky(word: str, rng: np.random.Generator) -> Iterator[Feature]:
    """Leaky neurons under pairs of weak events, near and far, and then random ones."""
    kind, constants, without = KINDS[word]
    for dialect in DIALECTS[:3]:
        for form in FORMS:
            witness = _weak(make(kind, constants, dialect, form), word)
            start = NEAR[-1] + PAUSE_STEPS
            later = witness.stimulus(rng, RANDOM_STEPS)
            pairs = at(*((step + k, 1) for step in (NEAR[0], NEAR[1]) for k in (0, 1)), *((step, 1) for step in FAR))
            fed = np.concatenate([np.sort(pairs, order="t"), _moved(later, start)])
            case = Case(what="pairs of weak events", stimulus={witness.input: fed}, steps=start + RANDOM_STEPS)
            yield Feature(
                form=f"{kind} neurons",
                node=witness.populations[0],
                model=witness.model,
                cases=(case,),
                without={label: changed(witness.model, kind, **other) for label, other in without.items()},
            )


def _weak(witness: Witness, word: str) -> Witness:
    if word != "neuron.cuba":
        return witness
    weaker = [np.where(np.abs(w) == WEAK, np.sign(w) * CURRENT_WEAK, w) for w in witness.weights]
    return witness.with_weights(tuple(weaker))


def _moved(train: Records, steps: int) -> Records:
    out = train.copy()
    out["t"] += at((steps, 0))["t"][0]
    return out


def changed(model: Model, kind: str, **parameters: float) -> Model:
    """The model with other numbers in all its nodes of one type."""
    other: dict[str, Node] = {}
    for name, node in model.nodes.items():
        if node.type == kind:
            new: dict[str, Any] = {key: np.full(node.output_shape, value) for key, value in parameters.items()}
            other[name] = attrs.evolve(node, **new)
    return Model.of({**model.nodes, **other}, model.edges, model.semantics)


# --- integrators and thresholds ---------------------------------------------------------------------------------------


def integrating(witness: Witness) -> Iterator[Feature]:
    """An integrator before the witness's neurons: these fire while it stands high."""
    for kind, constants, without in INTEGRATORS:
        for draft in both_forms(witness):
            yield _integrating(draft, kind, constants, without)


def _integrating(draft: Draft, kind: str, constants: dict[str, float], without: dict[str, dict[str, float]]) -> Feature:
    source = draft.input("input", 2)
    draft.put(neurons("held", kind, shape_of(1, draft.conv), constants))
    cells = draft.neurons("cells", 1)
    draft.weights(source, "held", [[1, -1]])
    draft.weights("held", cells, [[draft.witness.dialect.strong]])
    draft.output("output", cells)
    model = draft.model(overrides={"held": {"v_min": None}})
    if kind == "I":
        up_and_down = at((5, 0), (11, 1), (20, 0), (22, 1))
        fired = at(*((step, 0) for step in (*range(5, 11), 20, 21)))
        steps = 24 + TAIL_STEPS
        cases: tuple[Case, ...] = (
            Case(what="one up, one down", stimulus={source: up_and_down}, steps=steps, wanted={"output": fired}),
        )
    else:
        apart = at(*((step, 0) for step in (5, 5 + PAUSE_STEPS, 5 + 2 * PAUSE_STEPS)))
        steps = 5 + 3 * PAUSE_STEPS + TAIL_STEPS
        cases = (Case(what="events far apart", stimulus={source: apart}, steps=steps),)
    return Feature(
        form=f"{kind} before neurons",
        node="held",
        model=model,
        cases=cases,
        without={label: changed(model, kind, **other) for label, other in without.items()},
    )


def thresholding(witness: Witness, clocked: bool) -> Iterator[Feature]:
    """Threshold units behind weights above, below and at it: nothing is remembered; equality is as the rule says."""
    for draft in both_forms(witness):
        source, shape = draft.input("input", 3), shape_of(3, draft.conv)
        units = nodes.Threshold(
            name="units", input_shape=shape, output_shape=shape, threshold=np.full(shape, float(THRESHOLD))
        )
        draft.put(units)
        draft.weights(source, "units", [[THRESHOLD + 2, 0, 0], [0, WEAK, 0], [0, 0, THRESHOLD]])
        draft.output("output", "units")
        model = draft.model()
        compare = model.semantics.rule(units).compare

        def case(equal: bool, source: str = source) -> tuple[Case, ...]:
            fed, fired = [(2, 0), (4, 1), (5, 1), (8, 2)], [(2, 0), *([(8, 2)] if equal else [])]
            if clocked:
                fed, fired = [*fed, (11, 1), (11, 1)], [*fired, (11, 1)]
            return (
                Case(
                    what="above, below, at the threshold",
                    stimulus={source: at(*fed)},
                    steps=12 + TAIL_STEPS,
                    wanted={"output": at(*fired)},
                ),
            )

        yield Feature(
            form="Threshold units",
            node="units",
            model=model,
            cases=case(compare == ">="),
            others={"compare": case(compare != ">=")},
        )
