"""What NIR leaves open, said aloud: how a graph is meant to be executed.

A `Semantics` record names a profile (the exporter's rules, as data) and whatever the user states on top, for the
whole model or per node. `rule(node)` resolves both to one `Rule` without anything left open.

The profiles were each checked by reproducing the exporter's own raster; rules and numbers: sinabs 3.1.3,
snntorch 1.0.0, norse 1.1.0, spyx 1.0.0, rockpool 3.1.0, spikingjelly 2.0.0, jaxsnn 0.3.0, and the equations of the NIR
text.
"""

from __future__ import annotations

import enum
import json
import math
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

import attrs

from hal.config import words
from hal.errors import ConfigError, FormatError, Problem
from hal.nodes import Node
from hal.paths import as_path

TauUnit = Literal["s", "ms", "steps", "s*dt"]
Decay = Literal["exp", "euler", "1-dt/tau"]
Gain = Literal["one", "r", "r*dt", "r*dt/tau", "1-decay"]


class Open(enum.Enum):
    """Stands for "as the profile says"."""

    PROFILE = "profile"

    def __repr__(self) -> str:
        return "PROFILE"


PROFILE: Final = Open.PROFILE


@attrs.frozen(kw_only=True)
class Rule:
    """How one node is executed; nothing left open. The words are those of `Semantics`."""

    tau_unit: TauUnit = "s"
    decay: Decay = "euler"
    gain: Gain = "r*dt/tau"
    current_gain: Gain = "r*dt/tau"
    jump: Literal["before", "after"] = "after"
    membrane_sees: Literal["decayed", "undecayed"] = "decayed"
    spike_reset: Literal["value", "subtract", "subtract_n", "discard_update"] = "value"
    reset_delay: Literal[0, 1] = 0
    compare: Literal[">", ">="] = ">"
    fires_on: Literal["new", "old"] = "new"
    spikes_per_step: Literal["one", "many"] = "one"
    edge_delay: int = 0
    feedback_delay: int = 1
    v_min: float | Literal["-threshold"] | None = None
    start_state: float | Literal["v_reset", "v_leak"] = 0.0
    flatten_order: Literal["CHW", "HWC"] = "CHW"
    bias_meaning: Literal["per_step", "per_tick"] = "per_step"
    dtype: Literal["float32", "float64"] = "float32"


FIELDS: Final = tuple(field.name for field in attrs.fields(Rule))

_EULER: dict[str, dict[str, Any]] = {
    "*": {},
    "I": {"gain": "r*dt"},
    "IF": {"gain": "r*dt"},
}
_STEPWISE = {"decay": "1-dt/tau", "gain": "one", "current_gain": "one"}

PROFILES: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    # forward Euler on NIR's own equations; dt enters them
    "nir": _EULER,
    # counts in steps; several spikes a step; the importer sets v_min to minus the threshold
    "sinabs": {
        "*": {
            "tau_unit": "steps",
            "decay": "exp",
            "gain": "one",
            "current_gain": "one",
            "spike_reset": "subtract_n",
            "compare": ">=",
            "spikes_per_step": "many",
            "v_min": "-threshold",
        },
        "LIF": {"gain": "1-decay"},
        "Threshold": {"compare": ">", "spikes_per_step": "one"},
    },
    # Leaky, Synaptic and their recurrent forms with the default reset: subtraction, one step late
    "snntorch": {"*": {**_STEPWISE, "spike_reset": "subtract", "reset_delay": 1}},
    # LIFBox and LI box are forward Euler; LIF (CubaLIF) jumps by the whole input and shows the membrane that current
    # before it decays; the exporter writes tau * dt
    "norse": {
        "*": {"tau_unit": "s*dt"},
        "I": {"gain": "r*dt"},
        "IF": {"gain": "r*dt"},
        "CubaLI": {"current_gain": "one", "jump": "before", "membrane_sees": "undecayed"},
        "CubaLIF": {"current_gain": "one", "jump": "before", "membrane_sees": "undecayed"},
    },
    # the spike is decided on the state before the input, one step late; flattens H, W, C
    "spyx": {
        "*": {
            **_STEPWISE,
            "tau_unit": "steps",
            "spike_reset": "subtract",
            "fires_on": "old",
            "flatten_order": "HWC",
        },
        "Threshold": {"fires_on": "new"},
    },
    "rockpool": {
        "*": {
            "decay": "exp",
            "gain": "one",
            "current_gain": "one",
            "jump": "before",
            "spike_reset": "subtract_n",
            "compare": ">=",
            "spikes_per_step": "many",
        },
        "Threshold": {"compare": ">", "spikes_per_step": "one"},
    },
    "spikingjelly": {
        "*": {"compare": ">="},
        "I": {"gain": "r*dt"},
        "IF": {"gain": "r*dt"},
        "CubaLI": {**_STEPWISE, "start_state": "v_leak"},
        "CubaLIF": {**_STEPWISE, "start_state": "v_reset"},
        "Threshold": {"compare": ">"},
    },
    # jaxsnn.discrete, on graphs as its from_nir takes them: ms, neither r nor w_in; a weight is what an event adds to
    # the current. LIF (CubaLIF) shows its membrane the current of the step before, LI (CubaLI) jumps first. Exactly at
    # the threshold it gives half a spike and half a reset, and half a spike is no event: here there is none, as in its
    # event-based half, where a peak that only touches the threshold is no crossing. It computes in float32 unless told
    # otherwise, summed in an order of the compiler's; that cannot be had bit for bit, so float64, as its golden values
    "jaxsnn": {
        "*": {"tau_unit": "ms", "gain": "1-decay", "current_gain": "one", "dtype": "float64"},
        "CubaLI": {"jump": "before", "membrane_sees": "undecayed"},
        "CubaLIF": {"membrane_sees": "undecayed"},
    },
}


def _plain(field: str, value: Any) -> Any:
    """Other spellings people write for the same thing."""
    if field == "flatten_order" and isinstance(value, str):
        return value.replace(",", "").upper()
    if field == "fires_on" and isinstance(value, str):
        return value.removesuffix(" state")
    if field == "jump" and isinstance(value, str):
        return value.removesuffix(" decay")
    if field == "reset_delay" and isinstance(value, bool):
        return int(value)
    if field == "v_min" and value in ("-theta", "-v_threshold"):
        return "-threshold"
    return value


def _integer(value: Any) -> Any:
    """Any integer as Python's own; everything else as it is, to be refused."""
    return operator.index(value) if hasattr(value, "__index__") and not isinstance(value, bool) else value


def _check_number(field: str, value: Any) -> Problem | None:
    if value is PROFILE or (field == "v_min" and value in (None, "-threshold")):
        return None
    if field == "start_state" and value in ("v_reset", "v_leak"):
        return None
    if field in ("edge_delay", "feedback_delay"):
        least = 1 if field == "feedback_delay" else 0
        good = isinstance(value, int) and not isinstance(value, bool) and value >= least
        return None if good else Problem("steps", field, value=value, limit=f"an integer >= {least}")
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return None
    words = {"v_min": "a number, None or '-threshold'", "start_state": "a number, 'v_reset' or 'v_leak'"}
    return Problem("not understood", field, value=repr(value), limit=words[field])


_CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "tau_unit": get_args(TauUnit),
    "decay": get_args(Decay),
    "gain": get_args(Gain),
    "current_gain": get_args(Gain),
    "jump": ("before", "after"),
    "membrane_sees": ("decayed", "undecayed"),
    "spike_reset": ("value", "subtract", "subtract_n", "discard_update"),
    "reset_delay": (0, 1),
    "compare": (">", ">="),
    "fires_on": ("new", "old"),
    "spikes_per_step": ("one", "many"),
    "flatten_order": ("CHW", "HWC"),
    "bias_meaning": ("per_step", "per_tick"),
    "dtype": ("float32", "float64"),
}


def _field_problem(field: str, value: Any) -> Problem | None:
    if field not in FIELDS:
        return Problem("no such field of Semantics", field, limit=f"one of {FIELDS}")
    if field in _CHOICES:
        known = value is PROFILE or any(value == word and type(value) is type(word) for word in _CHOICES[field])
        return None if known else Problem("unknown value", field, value=repr(value), limit=f"one of {_CHOICES[field]}")
    return _check_number(field, value)


@attrs.frozen(kw_only=True)
class Semantics:
    """How a model is meant to be executed. A field left at PROFILE is as the named profile says.

    Attributes:
        profile: whose rules: nir, sinabs, snntorch, norse, spyx, rockpool, spikingjelly or
            jaxsnn.
        dt_ns: length of a step in model ns, or None where nobody said (clocked devices refuse None).
        tau_unit: unit of time constants and delays in the file.
        decay: exp: a = exp(-dt/tau); 1-dt/tau: that; euler: v + dt/tau * (v_leak - v + input), same factor, other
            rounding.
        gain: factor on what the membrane takes in (`1-decay`: one minus the membrane's own decay factor).
        current_gain: factor on what the synaptic current takes in, with w_in for r and tau_syn for tau.
        jump: whether input reaches the synaptic current before or after that decays.
        membrane_sees: whether the membrane takes in the current as decayed in this step, or before.
        spike_reset: value: v := v_reset; subtract: v -= threshold; subtract_n: v -= n * threshold for n spikes;
            discard_update: v := v_reset in place of the whole next update.
        reset_delay: 0 in the step of the spike, 1 one step later.
        compare: > or >= against the threshold.
        fires_on: new: after the update; old: on the state before it, so one step late.
        spikes_per_step: one, or many: the largest n for which v compares with n * threshold.
        edge_delay: steps every connection between populations takes. feedback_delay: steps within a cycle.
        v_min: lower bound of the membrane, after the reset: a number, "-threshold", or None.
        start_state: of the membrane: a number, "v_reset" or "v_leak".
        flatten_order: CHW or HWC.
        bias_meaning: an Affine or Conv bias acts once per step, or once per slow-clock tick of the chip.
        dtype: arithmetic of the reference.
        signals: names of Input nodes fed with analog values instead of events.
        overrides: node name -> {field: value}, where the exporter differs per layer.
    """

    profile: str = "nir"
    dt_ns: int | None = attrs.field(default=None, converter=_integer)
    tau_unit: TauUnit | Open = PROFILE
    decay: Decay | Open = PROFILE
    gain: Gain | Open = PROFILE
    current_gain: Gain | Open = PROFILE
    jump: Literal["before", "after"] | Open = PROFILE
    membrane_sees: Literal["decayed", "undecayed"] | Open = PROFILE
    spike_reset: Literal["value", "subtract", "subtract_n", "discard_update"] | Open = PROFILE
    reset_delay: Literal[0, 1] | Open = PROFILE
    compare: Literal[">", ">="] | Open = PROFILE
    fires_on: Literal["new", "old"] | Open = PROFILE
    spikes_per_step: Literal["one", "many"] | Open = PROFILE
    edge_delay: int | Open = PROFILE
    feedback_delay: int | Open = PROFILE
    v_min: float | Literal["-threshold"] | Open | None = PROFILE
    start_state: float | Literal["v_reset", "v_leak"] | Open = PROFILE
    flatten_order: Literal["CHW", "HWC"] | Open = PROFILE
    bias_meaning: Literal["per_step", "per_tick"] | Open = PROFILE
    dtype: Literal["float32", "float64"] | Open = PROFILE
    signals: frozenset[str] = attrs.field(default=frozenset(), converter=words)
    overrides: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        problems = []
        if not isinstance(self.profile, str) or self.profile not in PROFILES:
            problems.append(Problem("unknown profile", "profile", value=self.profile, limit=f"one of {(*PROFILES,)}"))
        if self.dt_ns is not None and (type(self.dt_ns) is not int or self.dt_ns <= 0):
            problems.append(Problem("a step is a whole number of ns", "dt_ns", value=self.dt_ns, limit="int > 0"))
        for field in FIELDS:
            value = _plain(field, getattr(self, field))
            object.__setattr__(self, field, value)
            if problem := _field_problem(field, value):
                problems.append(problem)
        if not isinstance(self.signals, frozenset) or not all(isinstance(name, str) for name in self.signals):
            problems.append(Problem("names of Input nodes", "signals", value=self.signals, limit="a set of names"))
        overrides = self.overrides
        if not isinstance(overrides, Mapping) or not all(isinstance(fields, Mapping) for fields in overrides.values()):
            problems.append(Problem("maps node names to {field: value}", "overrides", value=overrides))
            overrides = {}
        plain = {node: {f: _plain(f, v) for f, v in fields.items()} for node, fields in overrides.items()}
        object.__setattr__(self, "overrides", plain)
        for node, fields in plain.items():
            for field, value in fields.items():
                problem = _field_problem(field, value)
                if value is PROFILE:
                    problem = Problem("an override says what it wants", field, value=value)
                if problem:
                    problems.append(attrs.evolve(problem, where=f"overrides[{node!r}].{problem.where}"))
        if problems:
            raise ConfigError("the semantics record is not understood", problems=problems)

    def rule(self, node: Node) -> Rule:
        """The rule for one node: profile, its entry for the node's type, this record, then the node's override."""
        return self.rule_for(node.name, node.type)

    def rule_for(self, name: str, type_name: str) -> Rule:
        """As `rule`, for a node given by name and NIR type."""
        profile = PROFILES[self.profile]
        own = {field: value for field in FIELDS if (value := getattr(self, field)) is not PROFILE}
        if "gain" in own:
            # one word for both stages, unless the second is said too
            own.setdefault("current_gain", own["gain"])
        override = dict(self.overrides.get(name, {}))
        if "gain" in override:
            override.setdefault("current_gain", override["gain"])
        return Rule(**{**profile["*"], **profile.get(type_name, {}), **own, **override})

    def to_json(self) -> dict[str, Any]:
        """A JSON object with what was said; what is left to the profile is absent."""
        out: dict[str, Any] = {"profile": self.profile, "dt_ns": self.dt_ns}
        out |= {field: value for field in FIELDS if (value := getattr(self, field)) is not PROFILE}
        if self.signals:
            out["signals"] = sorted(self.signals)
        if self.overrides:
            out["overrides"] = {node: dict(fields) for node, fields in sorted(self.overrides.items())}
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Semantics:
        """The inverse of `to_json`; unknown keys are errors."""
        known = {field.name for field in attrs.fields(cls)}
        unknown = [Problem("no such field of Semantics", key, limit=f"one of {sorted(known)}") for key in data]
        unknown = [problem for problem in unknown if problem.where not in known]
        if unknown:
            raise ConfigError("the semantics record is not understood", problems=unknown)
        return cls(**dict(data))


def read_semantics(source: str | Path) -> Semantics:
    """A profile by name, or a JSON file of `Semantics` fields."""
    as_path(source, "read_semantics")
    if str(source) in PROFILES:
        return Semantics(profile=str(source))
    path = Path(source)
    if not path.is_file():
        raise ConfigError(
            f"{source!s} is neither a semantics profile nor a file",
            hint=f"profiles: {', '.join(PROFILES)}; or a JSON file of Semantics fields",
            value=str(source),
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON: {error}", path=str(path)) from error
    if not isinstance(data, dict):
        raise FormatError(f"{path} does not hold a JSON object", path=str(path))
    return Semantics.from_json(data)
