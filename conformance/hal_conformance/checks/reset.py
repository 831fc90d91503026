"""Going back: what each reset clears, and what survives it."""

from __future__ import annotations

from collections.abc import Callable

from hal.device import Device, Reset
from hal.errors import StateError
from hal.recording import Recording
from hal_conformance.context import STEP_NS, STEPS, Context
from hal_conformance.failure import demand
from hal_conformance.networks.witness import UNSETTLING_STEPS
from hal_conformance.raising import raises, refused
from hal_conformance.rulebook import check


def _twin(mode: Reset) -> Callable[[Context], None]:
    def undeclared(ctx: Context) -> None:
        device = ctx.open()
        refused(f"reset.{mode.value}", f"reset to {mode.value} of an open device", lambda: device.reset(mode))
        if not isinstance(ctx.subject.witness, str):
            device.load(ctx.mapping())
            refused(f"reset.{mode.value}", f"reset to {mode.value} of a loaded device", lambda: device.reset(mode))
            demand(device.state == "loaded", f"after a refused reset the device is in state {device.state!r}")

    return undeclared


@check("RST-001", level="bronze")
def check_undeclared(ctx: Context) -> None:
    """Given an open device, when each reset is asked for, then declared ones work and others are refused by word."""
    for mode in Reset:
        device = ctx.open()
        if f"reset.{mode.value}" in ctx.capabilities:
            device.reset(mode)
            demand(device.state == "open", f"reset to {mode.value} with nothing loaded leaves {device.state!r}")
        else:
            _twin(mode)(ctx)


def _mid_air(ctx: Context) -> tuple[Device, Callable[[], Recording], Recording]:
    """A device in the middle of things, how to run it again, and what its first run from load gave."""
    mapping = ctx.mapping()
    stimulus = {ctx.witness.input: ctx.stimulus()}
    device = ctx.loaded(mapping)

    def again() -> Recording:
        return ctx.run(device, stimulus, STEPS * STEP_NS)

    first = again()
    ctx.run(device, {ctx.witness.input: ctx.witness.unsettling()}, UNSETTLING_STEPS * STEP_NS)
    return device, again, first


@check("RST-002", level="silver", requires={"reset.state"}, twin=_twin(Reset.STATE), binding="gold")
def check_state(ctx: Context) -> None:
    """Given a device amid runs, when reset to STATE, then dynamics and clock restart and runs go on being numbered."""
    device, again, first = _mid_air(ctx)
    device.reset(Reset.STATE)
    demand(device.state == "loaded", f"reset to STATE leaves the device {device.state!r}")
    demand(device.t0_ns == 0, f"after reset to STATE the next run starts at {device.t0_ns} ns")
    demand(device.run_number == 2, f"after two runs and a reset to STATE the next is run {device.run_number}, not 2")
    after = again()
    demand(after.header.run == 2 and after.t0_ns == 0, f"recorded as run {after.header.run} from {after.t0_ns} ns")
    if ctx.deterministic:
        ctx.equal("the run after a reset to STATE and the first one", after, first)


@check("RST-003", level="silver", requires={"reset.loaded"}, twin=_twin(Reset.LOADED), binding="gold")
def check_loaded(ctx: Context) -> None:
    """Given a device amid runs, when reset to LOADED, then all is as after load, the numbers of runs included."""
    device, again, first = _mid_air(ctx)
    device.reset(Reset.LOADED)
    demand(device.state == "loaded", f"reset to LOADED leaves the device {device.state!r}")
    demand(device.t0_ns == 0, f"after reset to LOADED the next run starts at {device.t0_ns} ns")
    demand(device.run_number == 0, f"after reset to LOADED the next is run {device.run_number}, not 0")
    after = again()
    demand(after.header.run == 0 and after.t0_ns == 0, f"recorded as run {after.header.run} from {after.t0_ns} ns")
    ctx.equal("the run after a reset to LOADED and the first one", after, first)


def _erases(ctx: Context, mode: Reset) -> None:
    device, again, first = _mid_air(ctx)
    mapping = device.mapping
    device.reset(mode)
    demand(device.state == "open", f"reset to {mode.name} leaves the device {device.state!r}")
    raises(StateError, f"a run after reset to {mode.name}", again)
    device.load(mapping)
    demand(device.run_number == 0 and device.t0_ns == 0, f"after load, run {device.run_number} at {device.t0_ns} ns")
    ctx.equal(f"the run after reset to {mode.name} and load, and the first one", again(), first)


@check("RST-004", level="silver", requires={"reset.config"}, twin=_twin(Reset.CONFIG), binding="gold")
def check_config(ctx: Context) -> None:
    """Given a device amid runs, when reset to CONFIG, then nothing is loaded and loading again gives the same runs."""
    _erases(ctx, Reset.CONFIG)


@check("RST-005", level="silver", requires={"reset.power"}, twin=_twin(Reset.POWER), binding="gold")
def check_power(ctx: Context) -> None:
    """Given a device amid runs, when reset to POWER, then nothing is loaded and loading again gives the same runs."""
    _erases(ctx, Reset.POWER)


@check("RST-006", level="silver")
def check_reload(ctx: Context) -> None:
    """Given a device amid runs, when the mapping is loaded again, then its next run is the first one once more."""
    device, again, first = _mid_air(ctx)
    device.load(device.mapping)
    demand(device.run_number == 0 and device.t0_ns == 0, f"after load, run {device.run_number} at {device.t0_ns} ns")
    ctx.equal("the run after loading again and the first one", again(), first)
