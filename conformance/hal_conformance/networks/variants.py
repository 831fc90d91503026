"""The witness with one thing changed: a rule of its semantics, or its numbers.

Each variant is a pair of models. They differ in what is varied alone, so that a device which does not see the change
answers `varied` as it answers `plain`. Events still come one a step, and no neuron is left above its threshold after a
step, so that it does not matter whether a device tests once a step or after every event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import attrs
import numpy as np

from hal import nodes
from hal.model import Model
from hal.semantics import FIELDS, Rule
from hal_conformance.networks.oversize import recurrent, with_node
from hal_conformance.networks.witness import STRONG_EXACT, Matrix, Witness, make

NUMBERS: Final[Mapping[str, tuple[Any, ...]]] = {
    "edge_delay": (0, 1, 2),
    "feedback_delay": (1, 2, 3),
    "v_min": (None, "-threshold", 0.0, -1.0),
    "start_state": (0.0, 3.0, "v_reset", "v_leak"),
}
"""What is tried of the fields that take numbers; of all others, every word there is."""
TAU_STEPS: Final = 8.0
LEAKY: Final = (
    ("neuron.lif", "LIF", {"tau": TAU_STEPS}),
    ("neuron.cuba", "CubaLIF", {"tau_mem": TAU_STEPS, "tau_syn": 2.0}),
)
SEVERAL: Final = 9
"""A weight worth two spikes, but not three, of what a strong weight of 4 is worth one."""
FRACTION: Final = 1.7
"""No sum of it and the strong weights meets the threshold within forty events; every rounding of it shows."""
HUGE: Final = 1e6


@attrs.frozen(kw_only=True, eq=False)
class Variant:
    """A pair of models, and by which names a report may speak of their difference.

    names: the field or parameter, and every number that was set to make it show. exact: on `plain` the device has to
    answer spike by spike; where neurons leak it has not. channels: of the first event and of all others, where these
    are not random.
    """

    label: str
    plain: Model
    varied: Model
    names: frozenset[str]
    exact: bool = True
    channels: tuple[int, int] | None = None


def values(field: str) -> tuple[Any, ...]:
    """What a field of `hal.semantics.Rule` may be."""
    if field in NUMBERS:
        return NUMBERS[field]
    hint = get_type_hints(Rule)[field]
    return get_args(hint) if get_origin(hint) is Literal else ()


def rules(witness: Witness, capabilities: frozenset[str], clocked: bool) -> Iterator[Variant]:
    """One variant for each field and value of a rule that the witness does not have already, on each base."""
    leaky = [row for row in LEAKY if row[0] in capabilities]
    bases = [(witness, witness.exact), *((make(*row[1:], witness.dialect, witness.form), False) for row in leaky)]
    for base, exact in bases:
        kind = base.model.nodes[base.populations[0]]
        for field in FIELDS:
            for value in values(field):
                for plain, names, how in _ways(base, field, value, clocked):
                    rule = plain.semantics.rule(kind)
                    if getattr(rule, field) == value:
                        continue
                    varied = _saying(plain, **{field: value})
                    label = f"{kind.type} neurons with {field}={value!r}{how}"
                    yield Variant(label=label, plain=plain, varied=varied, names=names | {field}, exact=exact)


def _ways(base: Witness, field: str, value: Any, clocked: bool) -> Iterator[tuple[Model, frozenset[str], str]]:
    """The bases on which a value is tried, the names of what was set for it, and how they differ in words."""
    yield *_showing(base, field, value, clocked), ""
    if field == "spike_reset" and value == "subtract_n" and clocked:
        # who gives one spike a step has said so, and what else became of the reset would go unseen
        yield *_showing(base, field, value, False), ", one spike a step"


def _showing(base: Witness, field: str, value: Any, clocked: bool) -> tuple[Model, frozenset[str]]:
    """The base with the numbers by which a field shows, and their names."""
    plain = _weighed(base, _exact(base), base.dialect.weak)
    if field in ("gain", "current_gain", "tau_unit"):
        model = _with(_weighed(base, 2, 1).model, base.populations, r=2.0, w_in=2.0)
        if field == "tau_unit" and base.model.nodes[base.populations[0]].type == "IF":
            model = _saying(model, gain="r*dt")
        # who has no such time constants names them
        constants = {"tau", "tau_mem", "tau_syn"} if field == "tau_unit" else set()
        return model, frozenset({"r", "w_in", *constants})
    if field in ("jump", "membrane_sees") and base.dialect.fades:
        # undecayed an event counts double: still one spike of it, not two
        return _weighed(base, base.dialect.weak, base.dialect.weak - 2).model, frozenset()
    if field == "spikes_per_step":
        # what is left over after one of several spikes would be fired at once by some and at the next event by others
        more = {"spike_reset": "subtract_n"} if base.reset == "subtract" else {}
        return _saying(_weighed(plain, _several(base), base.dialect.weak, layers=1).model, **more), frozenset(
            {"weight"}
        )
    if field == "spike_reset" and value == "subtract_n" and clocked:
        # with one spike a step it would be no other rule than `subtract`
        several = _weighed(plain, _several(base), base.dialect.weak, layers=1).model
        return _saying(several, spikes_per_step="many"), frozenset({"spikes_per_step", "weight"})
    if field == "spike_reset" and value == "discard_update":
        return _saying(plain.model, reset_delay=1), frozenset({"reset_delay"})
    if field == "reset_delay":
        return _saying(plain.model, spike_reset="subtract"), frozenset({"spike_reset"})
    if field == "start_state" and value in ("v_reset", "v_leak"):
        return _with(plain.model, base.populations, **{value: 2.0}), frozenset({value})
    if field == "bias_meaning":
        return _biased(plain, 1.0), frozenset({"bias"})
    if field == "feedback_delay" and clocked:
        # a spike that comes back meets an event of that step: no matter for those who sum the step
        return recurrent(plain), frozenset({"route.recurrent"})
    if field == "flatten_order" and not base.form.endswith(("convolution", "convolutions")):
        return _flattened(plain), frozenset({"Flatten"})
    return plain.model, frozenset()


def _saying(model: Model, **fields: Any) -> Model:
    return model.with_semantics(attrs.evolve(model.semantics, **fields))


def numbers(witness: Witness) -> Iterator[Variant]:
    """The witness itself, and variants with numbers that small integer machines do not hold."""
    model, last = witness.model, witness.populations
    silent = _weighed(witness, 0, 0).model
    yield Variant(label="the witness as it is", plain=silent, varied=model, names=frozenset())

    def variant(label: str, varied: Model, *names: str) -> Variant:
        return Variant(label=label, plain=model, varied=varied, names=frozenset(names), exact=witness.exact)

    yield variant(f"weights of {FRACTION}", _weighed(witness, witness.dialect.strong, FRACTION).model, "weight")
    yield _huge(witness)
    thresholds = (4.5,) if witness.reset == "subtract" else (5.5, 6.5)
    for threshold in thresholds:
        yield variant(f"a threshold of {threshold}", _with(model, last, v_threshold=threshold), "v_threshold")
    for bias in (1.0, 0.4):
        yield variant(f"a bias of {bias} a step", _biased(witness, bias), "bias")
    for reset in (1.0, -3.0):
        yield variant(f"v_reset of {reset:g}", _with(model, last, v_reset=reset), "v_reset")


# --- how they are made ------------------------------------------------------------------------------------------------


def _exact(base: Witness) -> int:
    """A strong weight that leaves nothing, where the threshold is subtracted; of fading neurons, next to nothing."""
    return base.dialect.strong if base.dialect.fades else STRONG_EXACT


def _several(base: Witness) -> int:
    return 2 * base.dialect.strong if base.dialect.fades else SEVERAL


def _weighed(witness: Witness, strong: float, weak: float, layers: int = 2) -> Witness:
    """The same connections with other numbers, in the first so many layers."""
    limit = witness.dialect.weak

    def other(weight: Matrix) -> Matrix:
        size = np.where(np.abs(weight) > limit, strong, np.where(weight != 0, weak, 0.0))
        return np.sign(weight) * size

    changed = tuple(other(w) if k < layers else w for k, w in enumerate(witness.weights))
    return witness.with_weights(changed)


def _huge(witness: Witness) -> Variant:
    """One inhibition that nothing within a run makes up for, and then what makes up for a clipped one."""
    first = witness.weights[0].copy()
    row, column = (int(k) for k in np.argwhere(first < 0)[0])
    first[row, column] = -HUGE
    varied = witness.with_weights((first, *witness.weights[1:])).model
    return Variant(
        label=f"one weight of {-HUGE:g}",
        plain=witness.model,
        varied=varied,
        names=frozenset({"weight"}),
        exact=witness.exact,
        channels=(column, int(np.argmax(first[row]))),
    )


def _with(model: Model, populations: tuple[str, ...], **parameters: float) -> Model:
    """The model with other parameters in its populations, as far as these have them."""
    changed: dict[str, nodes.Node] = {}
    for name in populations:
        node = model.nodes[name]
        own: dict[str, Any] = {
            key: np.full(node.output_shape, value) for key, value in parameters.items() if key in node.parameters
        }
        changed[name] = attrs.evolve(node, **own)
    return Model.of({**model.nodes, **changed}, model.edges, model.semantics)


def _biased(witness: Witness, bias: float) -> Model:
    """The witness with the same bias on every neuron of its first layer."""
    model, node = witness.model, witness.model.nodes["fc1"]
    size = np.full(len(witness.weights[0]), bias)
    made: nodes.Node
    if isinstance(node, nodes.Conv2d):
        made = attrs.evolve(node, bias=size)
    else:
        made = nodes.Affine(
            name="fc1",
            input_shape=node.input_shape,
            output_shape=node.output_shape,
            weight=witness.weights[0],
            bias=size,
        )
    return Model.of({**model.nodes, "fc1": made}, model.edges, model.semantics)


def _flattened(witness: Witness) -> Model:
    """The witness fed with two maps of two pixels."""
    wide, entry = (2, 2, 1), witness.model.nodes[witness.input]
    flatten = nodes.Flatten(name="flatten", input_shape=wide, output_shape=entry.output_shape, start_dim=0, end_dim=-1)
    model = with_node(witness, flatten)
    entry = attrs.evolve(entry, input_shape=wide, output_shape=wide)
    return Model.of({**model.nodes, entry.name: entry}, model.edges, model.semantics)
