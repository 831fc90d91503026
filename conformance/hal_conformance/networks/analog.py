"""Networks with analog values at one end: held as they come in, sampled once a step as they go out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hal.events import Records, Signal
from hal_conformance.networks.draft import Case, Draft, Feature, at, both_forms
from hal_conformance.networks.witness import STEP_NS, TAIL_STEPS, Witness, neurons, shape_of

STEPS: Final = 20 + TAIL_STEPS
ROWS: Final = (
    (0, 0, 0),
    (3, 1, 0),
    (5, 0, 0),
    (8, 2, 0),
    (9, 0, 1),
    (11, 0, 0),
    (13, -1, 0),
    (14, 2, 0),
    (15, 1, 0),
    (16, 0, 0),
)
"""(step, value of channel 0, of channel 1), each held until the next. The weight is worth half a spike: 1 held for two
steps is one spike, 2 is one at once, and 2 after -1 is none, until 1 more follows."""
FIRED: Final = ((4, 0), (8, 0), (10, 1), (15, 0))
MIX: Final = ((1, -2), (0, 3), (2, 1))
SPIKES: Final = ((2, 0), (5, 1), (6, 0), (9, 1), (12, 0), (12, 1))


def _fed() -> Signal:
    rows = np.array(ROWS)
    return Signal(rows[:, 0] * STEP_NS, rows[:, 1:].astype(np.float64))


def fed_in(witness: Witness, layers: int, relays: bool = True) -> Iterator[Feature]:
    """An Input that takes values; of two layers, the second repeats the first."""
    for draft in both_forms(witness, relays):
        strong = witness.dialect.strong
        draft.input("input", 2)
        population = draft.neurons("first", 2)
        draft.weights("input", population, [[strong / 2, 0], [0, strong / 2]])
        if layers > 1:
            draft.weights("first", draft.neurons("second", 2), [[strong, 0], [0, strong]])
            population = "second"
        draft.output("output", population)
        case = Case(what="values held", stimulus={"input": _fed()}, steps=STEPS, wanted={"output": at(*FIRED)})
        model = draft.model(signals=frozenset({"input"}))
        yield Feature(form="values before neurons", node="input", model=model, cases=(case,))


def given_out(witness: Witness, integrators: bool) -> Iterator[Feature]:
    """An Output of values behind spiking neurons: their spikes weighted, and summed up by an I."""
    for draft in both_forms(witness):
        yield _weighed(draft, "spikes weighted", held=False)
    if integrators:
        for draft in both_forms(witness):
            yield _weighed(draft, "spikes weighted and summed up", held=True)


def _weighed(draft: Draft, form: str, held: bool) -> Feature:
    strong = draft.witness.dialect.strong
    source = draft.input("input", 2)
    if draft.relayed:
        source = draft.relay(source, "relay")
    draft.weights(source, draft.neurons("cells", 2), [[strong, 0], [0, strong]])
    draft.put(neurons("held", "I", shape_of(3, draft.conv), {}))
    name = draft.weights("cells", "held", MIX)
    if held:
        draft.end("output", "held")
    else:
        draft.drop("held")
        draft.end("output", name)
    case = _values(held, 1 if draft.witness.exact else draft.witness.apart)
    # a lower bound of the witness's neurons is none of what sums up
    model = draft.model(overrides={"held": {"v_min": None}} if held else {})
    return Feature(form=form, node="output", model=model, cases=(case,))


def _values(held: bool, apart: int) -> Case:
    """Row k: MIX times the spikes of step k, or of all steps to k; what I gives stands after step k."""
    fed = at(*((apart * step, index) for step, index in SPIKES))
    steps = apart * (STEPS - TAIL_STEPS) + TAIL_STEPS
    rows = _rows(fed, steps) @ np.array(MIX, np.float64).T
    values = np.cumsum(rows, axis=0) if held else rows
    return Case(what="spikes on both channels", stimulus={"input": fed}, steps=steps, values={"output": values})


def _rows(train: Records, steps: int) -> NDArray[np.float64]:
    rows = np.zeros((steps, 2))
    np.add.at(rows, (train["t"] // STEP_NS, train["index"]), 1.0)
    return rows


def unhelped(witness: Witness) -> Iterator[Feature]:
    """Values that go out without any spiking neurons: nothing is left to a chip that has no values of its own."""
    for draft in both_forms(witness):
        draft.input("input", 2)
        draft.put(neurons("held", "I", shape_of(3, draft.conv), {}))
        draft.weights("input", "held", MIX)
        draft.end("output", "held")
        yield Feature(form="an integrator alone", node="output", model=draft.model(), cases=())
