"""Small networks whose answer is known without any simulator: integer weights, no leak, few and separate spikes.

A witness is fed with at most one event per step, so that it does not matter whether a device sums a step before it
compares, or takes events in one by one. Where a neuron is reset to a value, no sum ever equals the threshold, so
that `>` and `>=` are the same; where the threshold is subtracted, the dialect says `>=`.

Neurons that fade are for devices whose every current outlasts its step: there the stimulus keeps all neurons away from
their thresholds, by more than rounding can move them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.events import EVENT, Records, events
from hal.model import Model
from hal.semantics import Semantics
from hal_conformance.networks.fading import FORGET, Fading, fading_stimulus

Matrix = NDArray[np.float64]
Reset = Literal["value", "subtract"]

STEP_NS: Final = 1_000_000
TAIL_STEPS: Final = 32
"""Silent steps at the end of a stimulus, for devices that answer late."""
CHANNELS: Final = 4
UNSETTLING_STEPS: Final = 5

STRONG, WEAK, THRESHOLD = 6, 3, 4
"""Reset to a value: one strong event fires, or two weak ones; both by a margin that outlives a small leak."""
STRONG_EXACT: Final = 4
"""Where the threshold is subtracted, a strong event leaves nothing, so that no neuron is ever worth two spikes."""

_FIRST: Final = np.array([[1, 0, 0, -2], [2, 2, 0, 0], [0, 0, 2, 1], [0, 2, -2, 1]])
"""1: strong, 2: weak, -2: as weak, but inhibiting. Rows are neurons, columns input channels."""
_SECOND: Final = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [2, 0, 0, 0]])
"""Each neuron hears one other only, so that simultaneous spikes never meet."""


@attrs.frozen(kw_only=True)
class Dialect:
    """One way to say what a neuron does after a spike, in words a device may or may not honour.

    strong, weak: weights of which one event fires, and of which two do, close together where neurons fade. margin: how
    far the membranes of neurons that fade stay from their thresholds; None where all is exact for any stimulus. most:
    how high they come. after: how high one comes in the step after a spike.
    """

    label: str
    reset: Reset
    v_min: float | None
    semantics: Mapping[str, Any]
    strong: int
    weak: int = WEAK
    margin: float | None = None
    most: float = np.inf
    after: float = np.inf

    @property
    def fades(self) -> bool:
        """Whether its neurons forget within a few steps."""
        return self.margin is not None


_PLAIN: Final[dict[str, Any]] = {
    "profile": "nir",
    "tau_unit": "steps",
    "decay": "1-dt/tau",
    "gain": "one",
    "current_gain": "one",
}
DIALECTS: Final = (
    Dialect(label="reset to 0, >=", reset="value", v_min=None, semantics=_PLAIN | {"compare": ">="}, strong=STRONG),
    Dialect(label="reset to 0, >", reset="value", v_min=None, semantics=_PLAIN | {"compare": ">"}, strong=STRONG),
    Dialect(
        label="subtract, >=",
        reset="subtract",
        v_min=None,
        semantics=_PLAIN | {"compare": ">=", "spike_reset": "subtract"},
        strong=STRONG_EXACT,
    ),
    Dialect(
        label="as sinabs", reset="subtract", v_min=-THRESHOLD, semantics={"profile": "sinabs"}, strong=STRONG_EXACT
    ),
)
FADES: Final = Dialect(
    label="decay before use, subtract, >=",
    reset="subtract",
    v_min=None,
    semantics={
        "profile": "rockpool",
        "tau_unit": "steps",
        "decay": "1-dt/tau",
        "spike_reset": "subtract",
        "spikes_per_step": "one",
    },
    strong=9,
    weak=5,
    margin=0.08,
    most=2 * THRESHOLD - 0.08,
)
"""An event decays with the current before the membrane sees it, as on chips that shift and subtract.

A strong event fires at once, by an eighth of the threshold, and what is left of it does not fire again; a weak one
comes to 0.8 of the threshold, and two of one step, or of steps next to each other, fire once. The margin is 2 %, more
than eight bits leave of a number.
"""
FLOWS: Final = tuple(
    Dialect(
        label=f"decay, reset to 0, {label}",
        reset="value",
        v_min=v_min,
        semantics=_PLAIN | {"compare": ">=", "v_min": v_min},
        strong=5,
        weak=3,
        margin=0.4,
        most=6.4,
        after=0.75 * THRESHOLD,
    )
    for label, v_min in (("not below 0", 0.0), ("no lower bound", None))
)
"""For devices that flow in time. With the time constants it goes with, a strong event crosses the threshold about the
middle of its step, not at an end of it where two spikes could be told for one another, and by a fourth of the
threshold; what is left of it comes to less than half. The margin is 10 %: analog values are not known better. A neuron
that is excited already would fire at the start of a step, with all of the event still to come after its spike; and one
that is excited right after a spike has its dead time and what is left of the last event to tell it: neither is asked.
"""
NEURONS: Final[tuple[tuple[str, str, Mapping[str, float], tuple[Dialect, ...]], ...]] = (
    ("neuron.if", "IF", {}, DIALECTS),
    ("neuron.lif", "LIF without leak", {"tau": np.inf}, DIALECTS),
    ("neuron.lif", "LIF, tau of a million steps", {"tau": 1e6}, DIALECTS[:2]),
    ("neuron.cuba", "CubaLIF without leak", {"tau_mem": np.inf, "tau_syn": 1.0}, DIALECTS[:3]),
    ("neuron.cuba", "CubaLIF, tau of a million steps", {"tau_mem": 1e6, "tau_syn": 1.0}, DIALECTS[:2]),
    ("neuron.cuba", "CubaLIF that fades", {"tau_mem": 4.0, "tau_syn": 2.0}, (FADES,)),
    ("neuron.cuba", "CubaLIF that fades, reset to a value", {"tau_mem": 4.0, "tau_syn": 8 / 7}, FLOWS),
)
"""(capability, label, time constants in steps, dialects in which it is exact). A leak, be it small, decides where a sum
meets the threshold. A current with tau_syn of one step lasts for that step alone, unless the decay is exponential."""
FORMS: Final = ("two dense layers", "one dense layer", "two convolutions", "one convolution")


@attrs.frozen(kw_only=True, eq=False)
class Witness:
    """A model and what it answers.

    weights: (out, in) per layer, integers. populations: names, first layer first; the last one feeds the Output.
    dialect and form: what it was made by.
    """

    label: str
    model: Model
    weights: tuple[Matrix, ...]
    populations: tuple[str, ...]
    reset: Reset
    v_min: float | None
    dialect: Dialect
    form: str
    fading: Fading | None = None
    input: str = "input"
    output: str = "output"

    @property
    def exact(self) -> bool:
        """Whether integers tell the answer to any stimulus; else to those alone that keep away from thresholds."""
        return self.fading is None

    @property
    def apart(self) -> int:
        """Steps between events that do not meet: two, or where neurons fade as many as they need to forget."""
        return 2 if self.fading is None else FORGET

    @property
    def size(self) -> int:
        """Neurons of the last population."""
        return len(self.weights[-1])

    def stimulus(self, rng: np.random.Generator, steps: int = 96) -> Records:
        """Events on random channels, at most one per step, none in the last TAIL_STEPS.

        The first and the last one show in the Output whatever is between, from a fresh start: one on channel 0, one on
        channel 3. Neither is missed without a trace.
        """
        if self.fading is not None:
            at, index = fading_stimulus(self.fading, self.weights, rng, steps - TAIL_STEPS)
            return events(at * STEP_NS, index)
        at = np.flatnonzero(rng.random(steps - TAIL_STEPS) < 0.8)
        at = np.union1d([0], at)
        index = rng.integers(0, CHANNELS, at.size)
        index[0], index[-1] = 0, CHANNELS - 1
        return events(at * STEP_NS, index)

    def unsettling(self) -> Records:
        """Events in five steps that leave neurons far from rest.

        One on channel 3 in each inhibits, so that an event on channel 0 is not answered; where no membrane goes below
        0, one on channel 1 in the last step excites, so that an event on channel 0 is answered once more.
        """
        if self.fading is not None and self.v_min == 0:
            return events([(UNSETTLING_STEPS - 1) * STEP_NS], [1])
        return events(np.arange(UNSETTLING_STEPS) * STEP_NS, np.full(UNSETTLING_STEPS, CHANNELS - 1))

    def answer(self, stimulus: Records, steps: int) -> dict[str, Records]:
        """What every population and the Output give, by arithmetic on integers: EVENT records per name."""
        given = np.zeros((steps, self.weights[0].shape[1]), np.int64)
        np.add.at(given, (stimulus["t"] // STEP_NS, stimulus["index"]), 1)
        out: dict[str, Records] = {}
        for name, weight in zip(self.populations, self.weights, strict=True):
            given = self._layer(given, weight.astype(np.int64)) if self.fading is None else self.fading(given, weight)
            row, index = np.nonzero(given)
            out[name] = events(row * STEP_NS, index)
        out[self.output] = out[self.populations[-1]]
        return out

    def _layer(self, given: NDArray[np.int64], weight: NDArray[np.int64]) -> NDArray[np.int64]:
        """Spikes (T, out) of one layer fed with spikes (T, in)."""
        v = np.zeros(len(weight), np.int64)
        spikes = np.zeros((len(given), len(weight)), np.int64)
        for k, row in enumerate(given):
            v = v + weight @ row
            fired = v >= THRESHOLD
            spikes[k] = fired
            v = np.where(fired, 0 if self.reset == "value" else v - THRESHOLD, v)
            v = v if self.v_min is None else np.maximum(v, int(self.v_min))
        return spikes

    def reweighted(self) -> Witness:
        """The same network with other numbers: what inhibited in the first layer excites."""
        first = np.abs(self.weights[0])
        return self.with_weights((first, *self.weights[1:]))

    def with_weights(self, weights: tuple[Matrix, ...]) -> Witness:
        """The same connections with other weights, (out, in) per layer; `answer` holds for integers alone."""
        changed = {}
        for layer, weight in enumerate(weights):
            node: Any = self.model.nodes[f"fc{layer + 1}"]
            changed[node.name] = attrs.evolve(node, weight=weight.reshape(node.weight.shape))
        model = Model.of({**self.model.nodes, **changed}, self.model.edges, self.model.semantics)
        return attrs.evolve(self, model=model, weights=weights)

    def renamed(self, names: Mapping[str, str]) -> Witness:
        """The same network under other names."""

        def new(name: str) -> str:
            return names.get(name, name)

        model = Model.of(
            {new(name): attrs.evolve(node, name=new(name)) for name, node in self.model.nodes.items()},
            [(new(a), new(b)) for a, b in self.model.edges],
            self.model.semantics,
        )
        return attrs.evolve(
            self,
            model=model,
            populations=tuple(new(name) for name in self.populations),
            input=new(self.input),
            output=new(self.output),
        )


def candidates(capabilities: frozenset[str]) -> Iterator[Witness]:
    """Every witness a device of these capabilities may be offered, in the order in which they are tried.

    Simple neurons first, then the more common rule, then two layers before one and dense before convolutions.
    """
    for word, neuron, constants, dialects in NEURONS:
        if word in capabilities:
            for dialect in dialects:
                for form in FORMS:
                    yield make(neuron, constants, dialect, form)


def make(neuron: str, constants: Mapping[str, float], dialect: Dialect, form: str) -> Witness:
    """One witness."""
    values = {0: 0, 1: dialect.strong, 2: dialect.weak, -2: -dialect.weak}
    layers = (_FIRST, _SECOND) if form.startswith("two") else (_FIRST,)
    weights = tuple(np.vectorize(values.__getitem__)(layer).astype(np.float64) for layer in layers)
    populations = ("hidden", "neurons") if len(layers) == 2 else ("neurons",)
    conv = form.endswith(("convolution", "convolutions"))
    shaped: dict[str, nodes.Node] = {}
    shape = shape_of(CHANNELS, conv)
    shaped["input"] = nodes.Input(name="input", input_shape=shape, output_shape=shape)
    chain = ["input"]
    for number, (weight, population) in enumerate(zip(weights, populations, strict=True), start=1):
        out = shape_of(len(weight), conv)
        shaped[f"fc{number}"] = connection(f"fc{number}", weight, shape, out, conv)
        shaped[population] = neurons(population, neuron.partition(" ")[0].rstrip(","), out, constants)
        chain += [f"fc{number}", population]
        shape = out
    shaped["output"] = nodes.Output(name="output", input_shape=shape, output_shape=shape)
    chain.append("output")
    semantics = Semantics(dt_ns=STEP_NS, **dialect.semantics)
    return Witness(
        label=f"{neuron}; {dialect.label}; {form}",
        model=Model.of(shaped, list(pairwise(chain)), semantics),
        weights=weights,
        populations=populations,
        reset=dialect.reset,
        v_min=dialect.v_min,
        dialect=dialect,
        form=form,
        fading=_fading(constants, dialect),
    )


def _fading(constants: Mapping[str, float], dialect: Dialect) -> Fading | None:
    if dialect.margin is None:
        return None
    return Fading(
        membrane=1.0 - 1.0 / constants["tau_mem"],
        current=1.0 - 1.0 / constants["tau_syn"],
        margin=dialect.margin,
        most=dialect.most,
        before=dialect is FADES,
        subtract=dialect.reset == "subtract",
        floor=-np.inf if dialect.v_min is None else dialect.v_min,
        after=dialect.after,
    )


def shape_of(size: int, conv: bool) -> tuple[int, ...]:
    """So many neurons in a row, or so many features of one pixel."""
    return (size, 1, 1) if conv else (size,)


def connection(
    name: str, weight: Matrix, given: tuple[int, ...], out: tuple[int, ...], conv: bool
) -> nodes.Conv2d | nodes.Linear:
    """A matrix (out, in) as a dense layer, or as a convolution of 1 x 1."""
    if not conv:
        return nodes.Linear(name=name, input_shape=given, output_shape=out, weight=weight)
    return nodes.Conv2d(
        name=name,
        input_shape=given,
        output_shape=out,
        weight=weight[:, :, None, None],
        bias=np.zeros(len(weight)),
        stride=(1, 1),
        padding=((0, 0), (0, 0)),
        dilation=(1, 1),
        groups=1,
    )


def neurons(name: str, type_name: str, shape: tuple[int, ...], constants: Mapping[str, float]) -> nodes.Node:
    """A population with the suite's threshold, resting at 0; constants: of time, by parameter."""
    kind = nodes.PRIMITIVES[type_name]
    values = {"r": 1.0, "w_in": 1.0, "v_threshold": float(THRESHOLD), "v_leak": 0.0, "v_reset": 0.0, **constants}
    parameters: dict[str, Any] = {parameter: np.full(shape, values[parameter]) for parameter in kind.parameters}
    return kind(name=name, input_shape=shape, output_shape=shape, **parameters)


def silence() -> Records:
    """No events."""
    return np.empty(0, EVENT)
