"""Mapping a model onto a chip: one plan serves `check` and `map`, so they cannot disagree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence, Set
from collections.abc import Mapping as MappingABC
from difflib import get_close_matches
from numbers import Real
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import config as config_module
from hal import probes
from hal.capabilities import require, required_by
from hal.config import MapOptions
from hal.errors import CapabilityError, ConfigError, DoesNotFitError, ModelError, Problem
from hal.events import Port, Probe
from hal.fit import Finding, FitReport, FitRow
from hal.mapping import BASE_COLUMNS, Fate, Losses, Mapping, Placement

if TYPE_CHECKING:
    from hal.device import DeviceSpec
    from hal.model import Model


MAX_RATE_HZ = 1e15
"""No node can have more events per second: one per femtosecond."""


def _tuple(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(items)


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """What an author's `_plan` returns. Without a config the plan must hold at least one reason."""

    rows: tuple[FitRow, ...] = attrs.field(default=(), converter=_tuple)
    findings: tuple[Finding, ...] = attrs.field(default=(), converter=_tuple)
    config: Any = None
    placement: Placement | None = None
    fates: tuple[Fate, ...] = attrs.field(default=(), converter=_tuple)
    losses: Losses = attrs.field(factory=Losses)
    realised: MappingABC[tuple[str, str], NDArray[Any]] = attrs.field(factory=dict)
    step_ns: int | None = None
    speedup: float = 1.0
    latency_ns: MappingABC[str, int] = attrs.field(factory=dict)


class Mapper(ABC):
    """Makes mappings for one device. An author writes `_plan`, and `_adopt` and `_edit` where the family has them."""

    def __init__(self, spec: DeviceSpec, profile: Any = None) -> None:
        self.spec = spec
        self.profile = profile

    # --- what an author writes ---------------------------------------------------------------------------------

    @abstractmethod
    def _plan(
        self,
        model: Model,
        options: Any,
        record: tuple[Probe, ...],
        like: Mapping | None,
        seed: int,
        rates_hz: MappingABC[str, float] | None,
    ) -> Plan:
        """Everything: what is needed of what there is, what is refused or changed, and, if it fits, the registers.

        The model is the part meant for the chip: host parts have been cut off. It may use what the device does not
        declare (that is refused by the caller, too); the plan must then still be true about the rest.
        """

    def _adopt(self, config: Any) -> Mapping:
        """A mapping from checked registers alone (capability `map.adopt`)."""
        raise CapabilityError(f"{self.spec.name} does not support adopt", capability="map.adopt")

    def _edit(self, mapping: Mapping, config: Any) -> Sequence[FitRow | Finding]:
        """What the chip says to registers edited by hand, beyond the schema's own checks (capability `map.edit`)."""
        return ()

    # --- what users call ---------------------------------------------------------------------------------------

    def check(
        self,
        model: Any,
        options: MapOptions | MappingABC[str, Any] | None = None,
        *,
        rates_hz: MappingABC[str, float] | None = None,
    ) -> FitReport:
        """Does it fit, and every reason why not.

        Args:
            model: a Model, a NIR file or graph.
            options: of class `spec.map_options`, or its fields as a mapping.
            rates_hz: events per second of whole nodes (Inputs, populations, Outputs), before any pooling; what
                run-time limits are checked against. `Recording.rates_hz()` measures them. Without it, they are not.

        Raises:
            ConfigError: options or rates are wrong. CapabilityError: on-chip learning is asked for (`learning`).
        """
        model = self._model(model)
        return self._planned(model, self._options(options), (), None, 0, self._rates(model, rates_hz))[0]

    def map(
        self,
        model: Any,
        options: MapOptions | MappingABC[str, Any] | None = None,
        *,
        record: Iterable[str | Probe] = (),
        like: Mapping | None = None,
        seed: int = 0,
    ) -> Mapping:
        """Place a model on the chip.

        Args:
            model: a Model, a NIR file or graph.
            options: of class `spec.map_options`, or its fields as a mapping.
            record: nodes or Probes to record besides the Outputs.
            like: keep placement and routing of this mapping and change numbers only.
            seed: of whatever is random in mapping.

        Raises:
            DoesNotFitError: with every reason.
            ConfigError: options, probes or `like` are wrong. CapabilityError: a probe, `like` or the option `learning`
                is not supported.
        """
        model = self._model(model)
        wanted = probes.checked(self.spec, model, record)
        if like is not None:
            require(self.spec.capabilities, "map.like", self.spec.name, "map(like=)")
            if not isinstance(like, Mapping):
                raise ConfigError("like= takes a mapping", value=type(like).__name__)
            if like.device != self.spec.name:
                problem = Problem("made for another device", "like.device", like.device, self.spec.name)
                raise ConfigError("map(like=) cannot keep that mapping", problems=[problem])
        if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0:
            raise ConfigError("a seed is an integer >= 0", seed=seed)
        chosen = self._options(options)
        report, plan, (front, chip, back) = self._planned(model, chosen, wanted, like, seed, None)
        if not report.fits:
            raise DoesNotFitError(report)
        if plan.config is None or plan.placement is None:
            raise TypeError(f"the mapper of {self.spec.name} gave neither a config nor a reason")
        if not isinstance(plan.config, self.spec.config):
            wrong, right = type(plan.config).__name__, self.spec.config.__name__
            raise TypeError(f"the mapper of {self.spec.name} gave registers of class {wrong}, the spec says {right}")
        self._check_names({*model.nodes, *chip.nodes}, plan, plan.placement)
        probes.check_mapped(self.spec, chip, wanted, plan.placement, plan.speedup)
        config_module.check(plan.config, f"the configuration made for {self.spec.name}")
        mapping = Mapping(
            device=self.spec.name,
            model=model,
            config=plan.config,
            placement=plan.placement,
            fates=self._fates(model, plan.fates, front, back),
            fit=report,
            losses=plan.losses,
            realised=dict(plan.realised),
            inputs=tuple(
                Port(name, model.nodes[name].output_shape, "signal" if name in model.semantics.signals else "events")
                for name in model.inputs
            ),
            outputs=tuple(Port(name, model.nodes[name].output_shape, model.kind(name)) for name in model.outputs),
            record=wanted,
            step_ns=plan.step_ns,
            speedup=plan.speedup,
            latency_ns=self._latencies(model, plan, back),
            on_chip=chip,
            front=front,
            back=back,
            profile_id=getattr(self.profile, "id", None),
            options=config_module.to_json(chosen),
        )
        if like is not None:
            _keep_like(mapping, like)
        return mapping

    def adopt(self, config: Any) -> Mapping:
        """A mapping from registers without a model. Raises CapabilityError, ConfigError, DoesNotFitError."""
        require(self.spec.capabilities, "map.adopt", self.spec.name, "adopt")
        return self._adopt(self._config(config))

    def edit(self, mapping: Mapping, config: Any) -> Mapping:
        """The mapping with other registers, checked again; placement kept. See `Mapping.with_config`."""
        require(self.spec.capabilities, "map.edit", self.spec.name, "with_config")
        said = self._edit(mapping, self._config(config))
        report = FitReport(
            device=self.spec.name,
            rows=tuple(item for item in said if isinstance(item, FitRow)),
            findings=tuple(item for item in said if isinstance(item, Finding)),
        )
        if not report.fits:
            raise DoesNotFitError(report)
        # what the mapper said about its own registers no longer holds for edited ones
        return attrs.evolve(mapping, config=config, fit=report, losses=Losses(), realised={})

    # --- the plan, as both see it ------------------------------------------------------------------------------

    def _planned(
        self,
        model: Model,
        options: MapOptions,
        wanted: tuple[Probe, ...],
        like: Mapping | None,
        seed: int,
        rates_hz: MappingABC[str, float] | None,
    ) -> tuple[FitReport, Plan, tuple[Model | None, Model, Model | None]]:
        from hal.host import split

        try:
            capable = self._capabilities(options)
            front, chip, back, findings = split(model, capable)
            findings += self._refusals(model, chip, capable, options.approximate)
        except ModelError as error:
            # a graph whose projections cannot be told: nothing can be said about the rest
            node = str(error.data.get("node", ""))
            reasons = [
                Finding(level="refused", node=node, field="graph", reason=text, hint=error.hint)
                for text in (error.message, *map(str, error.problems))
            ]
            return FitReport(device=self.spec.name, findings=tuple(reasons)), Plan(), (None, model, None)
        plan = self._plan(chip, options, wanted, like, seed, rates_hz)
        said = {(f.node, f.field) for f in plan.findings if f.level == "refused"}
        findings = [f for f in findings if (f.node, f.field) not in said]
        report = FitReport(device=self.spec.name, rows=plan.rows, findings=(*findings, *plan.findings))
        if report.fits and plan.config is None:
            raise TypeError(f"the mapper of {self.spec.name} gave neither a config nor a reason")
        return report, plan, (front, chip, back)

    def _capabilities(self, options: MapOptions) -> frozenset[str]:
        """What the chip does under these options: the words of the spec; override where an option adds to them."""
        return self.spec.capabilities

    def _refusals(self, model: Model, chip: Model, capable: frozenset[str], approximate: Set[str]) -> list[Finding]:
        """What the core itself has to say: capabilities, the missing step, the reader's notes."""
        findings = [
            Finding(
                level="refused",
                node=node,
                field=word,
                reason=f"{self.spec.name} does not declare {word!r}: {reason}",
                hint=f"allow it with approximate={{{instead!r}}}" if instead else "`hal info` lists what it can do",
            )
            for word, node, reason in required_by(chip)
            if word not in capable
            for instead in [self.spec.approximates.get(word, "")]
            if instead not in approximate
        ]
        findings += self._nothing_left(model, chip, capable)
        if self.spec.clock.kind == "clocked" and model.semantics.dt_ns is None:
            findings.append(
                Finding(
                    level="refused",
                    node="",
                    field="dt_ns",
                    reason="a clocked device needs the length of a step and nobody said it",
                    hint="Semantics(dt_ns=...), or --dt 1ms on the command line",
                )
            )
        return findings + list(model.notes)

    def _nothing_left(self, model: Model, chip: Model, capable: frozenset[str]) -> list[Finding]:
        """What is to be said where analog values are left to the host, and no neurons are left for the chip."""
        if any(node.population and node.name not in chip.inputs for node in chip.nodes.values()):
            return []
        analog = {
            "input.signal": [name for name in model.inputs if model.kind(name) == "signal"],
            "output.signal": [name for name in model.outputs if model.kind(name) == "signal"],
        }
        return [
            Finding(
                level="refused",
                node=names[0],
                field=word,
                reason=f"{self.spec.name} does not declare {word!r}: analog values are left to the host, and it would "
                "compute every neuron of this model",
                hint="put spiking neurons behind the first ones and before the last, or run it on device 'ideal'",
            )
            for word, names in analog.items()
            if names and word not in capable
        ]

    def _latencies(self, model: Model, plan: Plan, back: Model | None) -> dict[str, int]:
        """By node; what the host computes behind the chip is as late as what it is computed from."""
        late = {name: delay for name, delay in plan.latency_ns.items() if name in model.nodes}
        if back is None:
            return late
        for name in back.order():
            delay = max((late.get(source, 0) for source in back.predecessors(name)), default=0)
            if delay:
                late[name] = delay
        return late

    def _fates(
        self, model: Model, planned: tuple[Fate, ...], front: Model | None, back: Model | None
    ) -> tuple[Fate, ...]:
        """One line per NIR node, in the model's order, then what was added."""
        known = {fate.node: fate for fate in planned}
        for part, reason in ((front, "computed before the chip"), (back, "computed after the chip")):
            if part is not None:
                own = model.nodes.keys() & part.nodes.keys() - set(part.inputs)
                known |= {name: Fate(node=name, fate="host", reason=reason) for name in own}
        for name in (*model.inputs, *model.outputs):
            known[name] = Fate(node=name, fate="folded", reason=known[name].reason if name in known else "")
        missing = [name for name in model.nodes if name not in known]
        if missing:
            raise TypeError(f"the mapper of {self.spec.name} says nothing about: {', '.join(missing)}")
        return tuple(known[name] for name in model.order()) + tuple(f for f in planned if f.fate == "added")

    # --- arguments ---------------------------------------------------------------------------------------------

    def _model(self, model: Any) -> Model:
        from hal.model import Model, read_model

        return model if isinstance(model, Model) else read_model(model)

    def _options(self, options: MapOptions | MappingABC[str, Any] | None) -> MapOptions:
        if options is None:
            return self.spec.map_options()
        if isinstance(options, self.spec.map_options):
            return config_module.check(options, f"the map options of {self.spec.name}")
        if isinstance(options, MappingABC):
            if "learning" in options:
                require(self.spec.capabilities, "learning.on_chip", self.spec.name, "on-chip learning")
            return config_module.build(self.spec.map_options, options, f"the map options of {self.spec.name}")
        raise ConfigError(
            f"map options of {self.spec.name} are of class {self.spec.map_options.__name__}",
            value=type(options).__name__,
        )

    def _config(self, config: Any) -> Any:
        if not isinstance(config, self.spec.config):
            raise ConfigError(
                f"the configuration of {self.spec.name} is a {self.spec.config.__name__}", value=type(config).__name__
            )
        return config_module.check(config, f"the configuration of {self.spec.name}")

    def _rates(self, model: Model, rates_hz: MappingABC[str, float] | None) -> MappingABC[str, float] | None:
        problems = []
        if rates_hz is not None and not isinstance(rates_hz, MappingABC):
            raise ConfigError("rates_hz maps names of nodes to events per second", value=type(rates_hz).__name__)
        for name, rate in (rates_hz or {}).items():
            if name not in model.nodes:
                near = get_close_matches(name, list(model.nodes), n=1)
                problems.append(
                    Problem("no such node", f"rates_hz[{name!r}]", hint=f"did you mean {near[0]!r}?" if near else "")
                )
            elif not (model.nodes[name].population or name in model.outputs):
                limit = "an Input, a population or an Output"
                problems.append(Problem("has no events of its own", f"rates_hz[{name!r}]", limit=limit))
            elif isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= rate < MAX_RATE_HZ:
                problems.append(Problem("a rate is a number >= 0", f"rates_hz[{name!r}]", value=rate, limit="Hz"))
        if problems:
            raise ConfigError("not valid: rates_hz", problems=problems)
        return rates_hz

    def _check_names(self, known: set[str], plan: Plan, placement: Placement) -> None:
        """An author's slips: columns that the spec does not declare, values for nodes that the model lacks."""
        columns = set(placement.rows.dtype.names or ()) - {name for name, _ in BASE_COLUMNS}
        declared = {column.name for column in self.spec.placement_extras}
        strange = {*plan.latency_ns, *(node for node, _ in plan.realised)} - known
        if columns != declared or strange:
            raise TypeError(
                f"the mapper of {self.spec.name} placed with columns {sorted(columns)}, the spec declares "
                f"{sorted(declared)}; unknown nodes: {sorted(strange)}"
            )


def _keep_like(mapping: Mapping, like: Mapping) -> None:
    """Refuse a mapping made `like` another one when anything but numbers would change."""
    moved = like.placement.moved(mapping.placement)
    problems = [Problem("would have to move", name) for name in moved]
    if mapping.model is not None and like.model is not None:
        ours_is, theirs_is = _structure(mapping.model), _structure(like.model)
        changed = [key for key in {**ours_is, **theirs_is} if ours_is.get(key) != theirs_is.get(key)]
        problems += [Problem("is not the same as in the mapping to keep", key) for key in changed]
    ours, theirs = (config_module.to_tree(m.config) for m in (mapping, like))
    problems += [
        Problem("its registers would change shape", path)
        for path in _shape_changes(ours, theirs, "config")
        if not moved
    ]
    if problems:
        raise ConfigError(
            "map(like=) cannot keep the placement",
            problems=problems,
            hint="map without like= and load again",
            moved=moved,
        )


def _structure(model: Model) -> dict[str, Any]:
    """Everything about a model that is no number to tune."""
    structure: dict[str, Any] = {f"edge {source!r} -> {target!r}": True for source, target in model.edges}
    for node in model.nodes.values():
        fields = {f.name: getattr(node, f.name) for f in attrs.fields(type(node)) if f.name != "metadata"}
        structure[node.name] = [
            (name, value.shape if isinstance(value, np.ndarray) else value) for name, value in fields.items()
        ]
    return structure


def _shape_changes(ours: Any, theirs: Any, path: str) -> list[str]:
    if isinstance(ours, np.ndarray) or isinstance(theirs, np.ndarray):
        return [] if np.shape(ours) == np.shape(theirs) else [path]
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if ours.keys() != theirs.keys():
            return [path]
        return [p for key in ours for p in _shape_changes(ours[key], theirs[key], f"{path}.{key}")]
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        if len(ours) != len(theirs):
            return [path]
        return [
            p for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) for p in _shape_changes(a, b, f"{path}[{i}]")
        ]
    return []
