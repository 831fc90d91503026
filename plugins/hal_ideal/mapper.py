"""A model becomes a program: NIR's parameters and the semantics' words become factors per step."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.events import Port, Probe
from hal.fit import Finding, FitReport
from hal.mapper import Mapper, Plan
from hal.mapping import Fate, Losses, Mapping, Placement
from hal.model import Model
from hal.semantics import Rule
from hal.stepping import per_step, step_in
from hal_ideal.config import (
    IdealConfig,
    IdealMapOptions,
    InputConfig,
    MapConfig,
    NeuronsConfig,
    OutputConfig,
    SourceConfig,
)

Float = NDArray[np.float64]


class IdealMapper(Mapper):
    """Everything fits; what can be refused is a delay that is no whole number of steps."""

    def _plan(
        self,
        model: Model,
        options: IdealMapOptions,
        record: tuple[Probe, ...],
        like: Mapping | None,
        seed: int,
        rates_hz: MappingABC[str, float] | None,
    ) -> Plan:
        dt_ns = model.semantics.dt_ns
        if dt_ns is None:
            return Plan()
        program = _Program(model, dt_ns, rounded="delays" in options.approximate)
        return Plan(
            findings=program.findings,
            config=program.config(),
            placement=_placement(model),
            fates=[Fate(node=node.name, fate=_fate(node)) for node in model.nodes.values()],
            losses=Losses.build(program.losses),
            realised=_realised(model) | program.realised,
            step_ns=dt_ns,
        )

    def _adopt(self, config: IdealConfig) -> Mapping:
        base = np.cumsum([0, *(node.threshold.size for node in config.populations)])
        parts: list[dict[str, Any]] = [
            {"node": port.name, "index": np.arange(size), "core": -1, "neuron": np.arange(size)}
            for port in config.inputs
            for size in (int(np.prod(port.shape)),)
        ]
        for first, node in zip(base, config.populations, strict=False):
            index = np.arange(node.threshold.size)
            parts.append({"node": node.name, "index": index, "core": 0, "neuron": first + index})
        return Mapping(
            device=self.spec.name,
            config=config,
            placement=Placement.build(parts),
            fit=FitReport(device=self.spec.name),
            inputs=tuple(Port(port.name, port.shape, port.kind) for port in config.inputs),
            outputs=tuple(Port(out.name, out.shape, out.kind) for out in config.outputs),
            step_ns=config.step_ns,
        )


def _fate(node: nodes.Node) -> Any:
    return "folded" if isinstance(node, nodes.Input | nodes.Output) else "chip"


def _placement(model: Model) -> Placement:
    parts: list[dict[str, Any]] = []
    base = 0
    for node in model.populations():
        index = np.arange(node.size)
        if isinstance(node, nodes.Input):
            parts.append({"node": node.name, "index": index, "core": -1, "neuron": index})
        else:
            parts.append({"node": node.name, "index": index, "core": 0, "neuron": base + index})
            base += node.size
    return Placement.build(parts)


def _realised(model: Model) -> dict[tuple[str, str], NDArray[Any]]:
    """Parameters in the arithmetic of the device, in model units."""
    return {
        (node.name, name): np.asarray(getattr(node, name)).astype(model.semantics.rule(node).dtype)
        for node in model.nodes.values()
        for name in node.parameters
    }


class _Program:
    """Collects the config classes, node by node."""

    def __init__(self, model: Model, dt_ns: int, rounded: bool) -> None:
        self.model = model
        self.dt_ns = dt_ns
        self.rounded = rounded
        self.findings: list[Finding] = []
        self.losses: list[Any] = []
        self.realised: dict[tuple[str, str], NDArray[Any]] = {}
        self.maps: list[MapConfig] = []
        self.populations: list[NeuronsConfig] = []
        self.outputs: list[OutputConfig] = []
        # a Delay that closes a cycle is read one step late, and holds one step less itself
        self._semantics()
        self.cut = {source for source, _ in model.feedback() if isinstance(model.nodes[source], nodes.Delay)}
        for name in model.order():
            self._add(model.nodes[name])

    def _semantics(self) -> None:
        """What this device does not do as the semantics say."""
        nodes_ = self.model.nodes.values()
        for node in nodes_:
            bias = getattr(node, "bias", None)
            if bias is not None and np.any(bias) and self.model.semantics.rule(node).bias_meaning == "per_tick":
                self.findings.append(
                    Finding(
                        level="refused",
                        node=node.name,
                        field="bias_meaning",
                        reason="a bias per tick of a chip's slow clock; this device has only steps",
                        hint="bias_meaning='per_step', or map for the chip",
                    )
                )
        if len({self.model.semantics.rule(node).dtype for node in nodes_}) > 1:
            self.findings.append(
                Finding(
                    level="changed",
                    node="",
                    field="dtype",
                    reason="one arithmetic for the whole network",
                    wanted="float32 and float64",
                    realised="float64",
                )
            )

    def config(self) -> IdealConfig:
        made = {node.name for node in self.maps} | {node.name for node in self.populations}
        dtypes = {self.model.semantics.rule(node).dtype for node in self.model.nodes.values()}
        return IdealConfig(
            step_ns=self.dt_ns,
            dtype="float64" if "float64" in dtypes else "float32",
            inputs=tuple(
                InputConfig(name=name, shape=self.model.nodes[name].output_shape, kind=self.model.kind(name))
                for name in self.model.inputs
            ),
            maps=tuple(self.maps),
            populations=tuple(self.populations),
            outputs=tuple(self.outputs),
            order=tuple(name for name in self.model.order() if name in made),
        )

    def _sources(self, node: nodes.Node) -> tuple[SourceConfig, ...]:
        feedback = self.model.feedback()
        sources = []
        # sums run by the population that is behind a source, whatever the nodes on the way are called
        for name in sorted(self.model.predecessors(node.name), key=lambda name: (self._behind(name, ()), name)):
            source = self.model.nodes[name]
            rule = self.model.semantics.rule(source)
            delay = 0
            if name in self.cut:
                delay = 1
            elif (name, node.name) in feedback:
                delay = rule.feedback_delay
            elif source.population and not isinstance(node, nodes.Output):
                delay = rule.edge_delay
            sources.append(SourceConfig(name=name, delay=delay))
        return tuple(sources)

    def _behind(self, name: str, seen: tuple[str, ...]) -> str:
        """The first, by name, of the populations whose output reaches a node."""
        if self.model.nodes[name].population or name in seen:
            return name
        return min((self._behind(p, (*seen, name)) for p in self.model.predecessors(name)), default=name)

    def _add(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Input):
            return
        sources = self._sources(node)
        if isinstance(node, nodes.Output):
            kind = self.model.kind(node.name)
            self.outputs.append(OutputConfig(name=node.name, shape=node.output_shape, sources=sources, kind=kind))
        elif node.population:
            self.populations.append(self._neurons(node, sources))
        else:
            self.maps.append(self._map(node, sources))

    def _map(self, node: nodes.Node, sources: tuple[SourceConfig, ...]) -> MapConfig:
        common: dict[str, Any] = {
            "name": node.name,
            "sources": sources,
            "input_shape": node.input_shape,
            "output_shape": node.output_shape,
        }
        if isinstance(node, nodes.Affine | nodes.Linear):
            return self._dense(node, common)
        if isinstance(node, nodes.Conv2d):
            plane = int(np.prod(node.output_shape[1:]))
            return MapConfig(
                **common,
                kind="conv",
                weight=node.weight,
                bias=np.repeat(node.bias, plane),
                stride=node.stride,
                padding=node.padding,
                dilation=node.dilation,
                groups=node.groups,
            )
        if isinstance(node, nodes.Conv1d):
            common |= {
                "input_shape": (node.input_shape[0], 1, node.input_shape[1]),
                "output_shape": (node.output_shape[0], 1, node.output_shape[1]),
            }
            return MapConfig(
                **common,
                kind="conv",
                weight=node.weight[:, :, None, :],
                bias=np.repeat(node.bias, node.output_shape[1]),
                stride=(1, node.stride),
                padding=((0, 0), node.padding),
                dilation=(1, node.dilation),
                groups=node.groups,
            )
        if isinstance(node, nodes.SumPool2d):
            window = node.kernel_size[0] * node.kernel_size[1] if isinstance(node, nodes.AvgPool2d) else 1
            (py, px) = node.padding
            return MapConfig(
                **common,
                kind="pool",
                kernel=node.kernel_size,
                stride=node.stride,
                padding=((py, py), (px, px)),
                divisor=float(window),
            )
        if isinstance(node, nodes.Scale):
            return MapConfig(**common, kind="scale", weight=node.scale.ravel())
        if isinstance(node, nodes.Delay):
            return MapConfig(**common, kind="delay", order=self._delay(node))
        if isinstance(node, nodes.Flatten) and self.model.semantics.rule(node).flatten_order == "HWC":
            order = np.arange(int(np.prod(node.input_shape))).reshape(node.input_shape)
            return MapConfig(**common, kind="reorder", order=np.moveaxis(order, 0, -1).ravel())
        return MapConfig(**common, kind="identity")

    def _dense(self, node: nodes.Affine | nodes.Linear, common: dict[str, Any]) -> MapConfig:
        """NIR allows leading axes before (out, in): one matrix per entry of them."""
        weight = np.asarray(node.weight, np.float64)
        lead = int(np.prod(weight.shape[:-2], dtype=np.int64))
        blocks = weight.reshape(lead, *weight.shape[-2:])
        whole = np.zeros((lead * blocks.shape[1], lead * blocks.shape[2]))
        for k, block in enumerate(blocks):
            rows, columns = block.shape
            whole[k * rows : (k + 1) * rows, k * columns : (k + 1) * columns] = block
        bias = node.bias if isinstance(node, nodes.Affine) else np.zeros(0)
        bias = np.broadcast_to(bias, (lead, blocks.shape[1])).ravel() if bias.size else bias
        return MapConfig(**common, kind="dense", weight=whole, bias=bias)

    def _delay(self, node: nodes.Delay) -> NDArray[np.int64]:
        unit = self.model.semantics.rule(node).tau_unit
        exact = np.asarray(node.delay, np.float64).ravel() / step_in(unit, self.dt_ns)
        steps = np.rint(exact)
        off = np.abs(steps - exact) > 1e-6 * np.maximum(1.0, exact)
        if off.any():
            k = int(np.argmax(off))
            self.findings.append(
                Finding(
                    level="changed" if self.rounded else "refused",
                    node=node.name,
                    field="delay",
                    reason=f"{int(off.sum())} delays are no whole number of steps, the first at index {k}",
                    wanted=float(exact[k]),
                    realised=float(steps[k]) if self.rounded else None,
                    hint="choose another dt, or approximate={'delays'} to round them",
                )
            )
            said = np.asarray(node.delay, np.float64).ravel()
            kept = np.where(off, steps * step_in(unit, self.dt_ns), said)
            self.realised[node.name, "delay"] = kept.reshape(node.delay.shape)
            gone = np.flatnonzero(off)
            self.losses.append((node.name, "delay", gone, said[gone], kept[gone], "rounded to whole steps"))
        if node.name in self.cut:
            if (steps < 1).any():
                self.findings.append(
                    Finding(
                        level="refused",
                        node=node.name,
                        field="delay",
                        reason="closes a cycle without neurons and must last at least one step",
                        wanted=float(steps.min()),
                    )
                )
            steps = np.maximum(steps - 1, 0)
        return steps.astype(np.int64)

    def _neurons(self, node: Any, sources: tuple[SourceConfig, ...]) -> NeuronsConfig:
        numbers = per_step(node, self.model.semantics, self.dt_ns)
        rule = numbers.rule
        self._note_instability(node, np.concatenate([numbers.ratio, numbers.current_ratio]), rule)
        return NeuronsConfig(
            name=node.name,
            shape=node.output_shape,
            sources=sources,
            decay=numbers.decay,
            leak=numbers.leak,
            gain=numbers.gain,
            current_decay=numbers.current_decay,
            current_gain=numbers.current_gain,
            threshold=numbers.threshold,
            v_reset=numbers.v_reset,
            v_min=numbers.v_min,
            v_start=numbers.v_start,
            spiking=node.spiking,
            memoryless=isinstance(node, nodes.Threshold),
            current=numbers.has_current,
            euler=rule.decay == "euler",
            jump_before=rule.jump == "before",
            undecayed=rule.membrane_sees == "undecayed",
            reset=rule.spike_reset,
            late_reset=bool(rule.reset_delay),
            at_threshold=rule.compare == ">=",
            fires_on_old=rule.fires_on == "old",
            many=rule.spikes_per_step == "many",
        )

    def _note_instability(self, node: nodes.Node, ratio: Float, rule: Rule) -> None:
        if rule.decay != "exp" and (ratio > 1).any():
            self.findings.append(
                Finding(
                    level="note",
                    node=node.name,
                    field="tau",
                    reason="a step longer than a time constant: the state changes sign as it decays",
                    wanted=f"dt/tau = {float(ratio.max()):g}",
                    hint="check dt and tau_unit",
                )
            )
