"""The contract, clause by clause: what each word of the interface means, and the checks that hold a device to it."""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen
class Clause:
    """One meaning. name: for references, title and text: for people, checks: ids, in the order of their telling."""

    name: str
    title: str
    text: str
    checks: tuple[str, ...]


def _clause(name: str, title: str, text: str, checks: str) -> Clause:
    return Clause(name, title, " ".join(text.split()), tuple(checks.split()))


CLAUSES: Final = (
    _clause(
        "plugin",
        "A plugin is light and harms nobody",
        """Names of devices are listed from metadata. Importing a plugin is quick, silent, and imports no vendor's
        package; that is imported when hardware is opened, and where it is missing the error says what to
        install.""",
        "LOAD-001 LOAD-002 LOAD-005 LOAD-007",
    ),
    _clause(
        "states",
        "Open, loaded, closed",
        """A device is open, loaded or closed, and every method says what it needs. Closing is always possible, and
        final. A run that was broken off leaves dynamics nobody knows: a reset or a load is demanded before the
        next.""",
        "LOAD-003 LOAD-004 LOAD-006 ERR-001",
    ),
    _clause(
        "spec",
        "A device says what it is",
        """The spec is plain data: capabilities are words of one vocabulary, resources and observables have units
        and limits with a source, clock and ports are declared. What is declared works, what is not is refused.""",
        "SPEC-001",
    ),
    _clause(
        "config",
        "Configurations are checked data",
        """What the user asks of the mapper, what of the emulator, the registers, and what is known of an individual
        are classes of documented fields with ranges. They become JSON and JSON Schema, and come back equal. A
        value beyond its range is refused by the name of its field.""",
        "SPEC-002 SPEC-003 CONF-001 CONF-002 CONF-003 CONF-004 MAP-011",
    ),
    _clause(
        "time",
        "Time",
        """Public times are model time, whole ns since the start of that run. A run lasts its duration, and every
        recorded time lies within. What is under way at the end is pending, and comes out in the next run. Runs
        follow one another in time and number.""",
        "RUN-001 RUN-005 RUN-008 RUN-012 RUN-017 STIM-002",
    ),
    _clause(
        "steps",
        "Steps and quanta",
        """On clocked devices an event belongs to the step it falls into, and a spike is stamped with the start of
        its step; without a step length they refuse. Where time is coarser than 1 ns, events are moved to the
        grid, and the number is told. The model's step may be of any length the device can do; `latency_ns` is
        the fixed delay against the model.""",
        "RUN-018 STIM-004 STIM-005",
    ),
    _clause(
        "answer",
        "What comes out is what the model says",
        """Where arithmetic gives the answer, the device gives it, spike by spike: to one event, to simultaneous
        ones, to none. It is that of the reference `ideal`.""",
        "RUN-002 RUN-003 RUN-004 RUN-006 RUN-007",
    ),
    _clause(
        "neurons",
        "Neurons",
        """Each kind of neuron is declared by a word of its own, and does what NIR says of it under the model's
        semantics: IF keeps what it took in, LIF and CubaLIF lose it by their time constants, integrators hand on
        what they hold, thresholds remember nothing. A kind that is not declared is refused by its word.""",
        "NEUR-001 NEUR-002 NEUR-003 NEUR-004 NEUR-005",
    ),
    _clause(
        "routes",
        "Routes and delays",
        """All targets of a population hear it, all sources of one count. Within a cycle a projection acts one step
        later. Inputs are ordered by name, and one that is not fed is silent; Outputs are never merged. A Delay
        holds back its own projection by just its time.""",
        "ROUT-001 ROUT-002 ROUT-003 ROUT-004 ROUT-005 DLY-001",
    ),
    _clause(
        "signals",
        "Analog values",
        """A value that goes in is held until the next; one that goes out is sampled after each step. Where a device
        takes in or gives out none, the host computes that part of the model and the fates say so; a model that
        leaves it no neurons is refused by the missing word.""",
        "SIG-001 SIG-002",
    ),
    _clause(
        "stimuli",
        "Stimuli",
        """Stimuli are event arrays or signals, by the names of Inputs and of the chip's own ports. Everything wrong
        with one is said at once, nothing is half done, and arrays that were given are left alone.""",
        "STIM-001 STIM-003 STIM-006",
    ),
    _clause(
        "batches",
        "Batches",
        """A batch is its samples, each from Reset.STATE: equal to the loop, for any number of workers, state and
        numbers of runs afterwards included.""",
        "RUN-010",
    ),
    _clause(
        "determinism",
        "The same again",
        """The same mapping, stimulus and seed give the same bytes. Devices do not disturb one another.""",
        "RUN-009 RUN-011",
    ),
    _clause(
        "noise",
        "Noise has a seed",
        """Noise is a function of the seed and the number of the run since load. A reset to STATE goes on with the
        numbers, LOADED starts them again. A device that declares no noise has none.""",
        "NOIS-001 NOIS-002",
    ),
    _clause(
        "individuals",
        "Individuals",
        """A profile is what is known of one individual; with its id alone, nothing is. A mapping made for one
        individual is loaded by no other.""",
        "PROF-001",
    ),
    _clause(
        "learning",
        "Learning",
        """Weights change while running only where the map option `learning` asks for it: True, or a word other than
        its default. What was learned survives a reset to STATE, and is forgotten by LOADED and by load.""",
        "LRN-001 LRN-002",
    ),
    _clause(
        "recording",
        "Recording",
        """What is recorded is asked for when mapping, changes nothing else, and is the same in memory and on disk.
        A recording can be replayed. What was flushed survives a killed process. Memory does not grow with the
        length of a run.""",
        "REC-001 REC-002 REC-003 REC-004 REC-005 REC-006 REC-010 REC-011 RUN-016",
    ),
    _clause(
        "limits",
        "Fit: all reasons at once",
        """`check` and `map` are one plan and say the same. A report has a row per resource and place with what is
        needed and what there is, and findings: refused, changed, note. What is declared as a limit is there to
        the last unit, and one unit more is refused by its name.""",
        "MAP-001 MAP-002 MAP-003 MAP-004 LIM-001 LIM-002 OVR-003",
    ),
    _clause(
        "honesty",
        "Nothing changed or dropped without a line",
        """Whatever a chip does otherwise than the model's semantics say is refused or listed as changed, by node
        and field; what it may approximate the user allows by name. Numbers it cannot keep are losses; `realised`
        has what it computes with.""",
        "MAP-012 MAP-013 MAP-014",
    ),
    _clause(
        "placement",
        "Where everything went",
        """Every neuron sits at one place, and there sits that neuron alone. Every node has its fate. The same model
        is placed alike each time.""",
        "MAP-005 MAP-006 MAP-007",
    ),
    _clause(
        "names",
        "Names are identity",
        "What the model calls a node, placement, recording, reports and errors call it, whatever its name.",
        "MAP-008",
    ),
    _clause(
        "loop",
        "In the loop, by hand, for others",
        """`map(like=)` changes numbers and keeps places. Registers are adopted without a model, and edited by hand.
        A mapping is loaded by the device it was made for, and by those that say so. Vendors' formats are
        written, and read.""",
        "MAP-009 MAP-010 MAP-015 MAP-016 MAP-017 ERR-003",
    ),
    _clause(
        "resets",
        "Resets",
        """STATE: dynamics, queues and clock; learned weights stay, runs go on being numbered. LOADED: as after
        load. CONFIG: nothing loaded. POWER: as after switching on. What was not declared is refused.""",
        "RST-001 RST-002 RST-003 RST-004 RST-005 RST-006",
    ),
    _clause(
        "counters",
        "Counters tell what happened",
        """Events in and out and synaptic updates are counted as they happened. What was too much is counted, with
        intervals, and a chip that stalled is not trusted; what no counter tells of did not happen.""",
        "RUN-015 OVR-001 OVR-002",
    ),
    _clause(
        "waiting",
        "Nobody waits for ever",
        """A run tells how far it is at least every tenth of a second or so, and ends when its time is up, with what
        was recorded so far.""",
        "RUN-013 RUN-014",
    ),
    _clause(
        "errors",
        "Errors teach",
        "Errors say what, where, the value, the limit and what to do, and survive pickling.",
        "ERR-002",
    ),
    _clause(
        "agreement",
        "Agreement with the reference",
        """After latency is taken off, the share of spikes that find their partner within the suite's window. It is
        noted against the model as given, and has a floor against what is realised.""",
        "AGR-001 ROUT-010 VEC-001",
    ),
)
