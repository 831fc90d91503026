"""What goes into a run, and for how long: files, recordings, durations."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from hal.cli.failures import BadUsageError, note, usage
from hal.cli.resolve import existing
from hal.cli.show import duration
from hal.events import Port, Records, Signal

if TYPE_CHECKING:
    from hal.recording import Recording

GRID_NS: Final = 1_000
"""What the end of a run is rounded to where there are no steps: 1 us."""

LATE_NS: Final = 60 * 10**9
"""A first event after this is pointed out."""


@attrs.frozen(kw_only=True, eq=False)
class Feed:
    """A stimulus by port, and the duration it asks for."""

    stimulus: MappingABC[str, Records | Signal]
    duration_ns: int

    @property
    def events(self) -> int:
        """How many events there are in it."""
        return sum(len(value) for value in self.stimulus.values() if not isinstance(value, Signal))

    @property
    def last_ns(self) -> int:
        """Time of the last event or row; -1 when there is none."""
        return max((_last(value) for value in self.stimulus.values()), default=-1)


def _last(value: Records | Signal) -> int:
    t = value.t if isinstance(value, Signal) else value["t"]
    # the core checks the order later; a fault there must not be hidden by a short run
    return int(np.max(t)) if len(t) else -1


def after(t_ns: int, step_ns: int | None) -> int:
    """The end of a run whose last event is at t_ns: rounded up to a step (or to 1 us), plus one."""
    step = step_ns or GRID_NS
    return (-(-t_ns // step) + 1) * step if t_ns >= 0 else 0


def from_files(
    given: Sequence[str],
    inputs: Sequence[Port],
    extra: Sequence[Port],
    step_ns: int | None,
    unit: str | None,
    origin: str | None = None,
    from_first: bool = False,
) -> Feed:
    """Read the files of --input. inputs: the model's; extra: ports of the chip, which must be named."""
    from hal.stimulus import ORIGINS, UNITS, as_stimulus, read_events

    if unit is not None and unit not in UNITS:
        raise BadUsageError(f"--unit {unit} is no unit of time", hint=f"one of {', '.join(UNITS)}")
    if origin is not None and origin not in ORIGINS:
        raise BadUsageError(f"--origin {origin} is no corner", hint=f"one of {', '.join(ORIGINS)}")
    stimulus: dict[str, Records | Signal] = {}
    ends = [0]
    for name, path in assign(given, inputs, extra).items():
        port = next(port for port in (*inputs, *extra) if port.name == name)
        file = read_events(path, prefer=port.name)
        value = as_stimulus(file, port, unit=unit, origin=origin, from_first=from_first, step_ns=step_ns)
        _say_when_late(path, value)
        stimulus[name] = value
        rows_end = 0 if file.is_events or not step_ns else len(file.array) * step_ns
        ends.append(rows_end or after(_last(value), step_ns))
    return Feed(stimulus=stimulus, duration_ns=max(ends))


def _say_when_late(path: Path, value: Records | Signal) -> None:
    """Cameras' clocks: a first event after minutes or decades is hardly meant."""
    if not isinstance(value, Signal) and len(value) and int(value["t"][0]) > LATE_NS:
        first = duration(int(value["t"][0]) // 10**9 * 10**9)
        note(f"{path}: the first event is at {first}, and the run begins at 0; --from-first lets it begin there")


def assign(given: Sequence[str], inputs: Sequence[Port], extra: Sequence[Port]) -> dict[str, Path]:
    """Which file goes into which port: NAME=FILE, or one FILE for a model with one Input."""
    names = [port.name for port in (*inputs, *extra)]
    out: dict[str, Path] = {}
    for text in given:
        name, sign, path = text.partition("=")
        if not sign or (name not in names and Path(text).exists()):
            if len(inputs) != 1:
                listed = ", ".join(port.name for port in inputs)
                raise BadUsageError(
                    f"--input {text}: the model has the inputs {listed}", hint="give NAME=FILE for each"
                )
            name, path = inputs[0].name, text
        elif name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
            raise BadUsageError(f"--input {text}: there is no input {name!r}", hint=hint)
        if name in out:
            raise BadUsageError(f"--input: {name} is given twice", hint=f"{out[name]} and {path}")
        out[name] = existing(path, "--input")
    return out


def from_recording(path: str, ports: Sequence[Port], step_ns: int | None) -> Feed:
    """The stimulus of a recording, for as long as that ran. Silent ports of the chip it came from are left out."""
    from hal.recording import read_recording

    recording: Recording = read_recording(existing(path, "--from"))
    names = {port.name for port in ports}
    stimulus: dict[str, Any] = {
        name: value
        for name, value in recording.stimulus.items()
        if name in names or not name.startswith("@") or len(value if not isinstance(value, Signal) else value.t)
    }
    step = step_ns or 1
    return Feed(stimulus=stimulus, duration_ns=-(-recording.duration_ns // step) * step)


def lasting(feed: Feed, asked_ns: int | None, step_ns: int | None) -> int:
    """How long to run: as asked, else as the stimulus says."""
    if asked_ns is None:
        return feed.duration_ns
    if asked_ns <= feed.last_ns:
        raise BadUsageError(
            f"--duration {duration(asked_ns)}: the stimulus has events until {duration(feed.last_ns)}",
            hint=f"at least {duration(after(feed.last_ns, step_ns))}",
        )
    from hal.errors import ConfigError
    from hal.intake import duration_problems

    with usage():
        if found := duration_problems(asked_ns, step_ns, None):
            raise ConfigError(f"--duration {duration(asked_ns)} cannot be run", problems=found)
    return asked_ns
