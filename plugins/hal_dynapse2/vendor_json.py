"""The vendor's JSON of a configuration: every register of every chip. Not verified by samna.

What that layout has no place for (names, which row is which neuron, the host's destinations, places on the grid,
currents asked for, the step) stands in a second key beside the vendor's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from hal.config import to_json
from hal_dynapse2 import vendor_notes as notes
from hal_dynapse2.config import PARAMETERS, Dynapse2Config
from hal_dynapse2.limits import CORES, NEURONS
from hal_dynapse2.vendor_layout import (
    CHIP_END,
    CORE_END,
    DESTINATION,
    INITIAL_TYPE,
    LATCH_KEYS,
    PARAMETER,
    SYNAPSE,
    UNUSED_TEXT,
    WEIGHTS,
    compact,
    numbered,
)
from hal_dynapse2.vendor_reader import read_text


def write(config: Dynapse2Config) -> str:
    """The text of the file, without blanks; about 11 MB for each chip."""
    rows: dict[int, str] = {}
    for row, place in enumerate(config.neurons.place.tolist()):
        rows[place] = _neuron(config, row)
    parameters, monitored = _parameters(config)
    chips = []
    for chip in range(config.chips.x.size):
        cores = []
        for place in range(chip * CORES, (chip + 1) * CORES):
            first = place * NEURONS
            neurons = (f'"value{k}":{rows.get(first + k, UNUSED_TEXT)}' for k in range(NEURONS))
            watched = monitored.get(place, -1)
            cores.append(
                f'"value{place % CORES}":{{"neurons":{{{",".join(neurons)}}},'
                f'"neuronMonitoringOn":{"true" if watched >= 0 else "false"},"monitoredNeuron":{max(watched, 0)},'
                f'"parameters":{parameters.get(place, _NO_PARAMETERS)},{_CORE_END}'
            )
        chips.append(f'{{"cores":{{{",".join(cores)}}},{_CHIP_END}')
    return f'{{"value0":{{"chips":[{",".join(chips)}]}},"{notes.KEY}":{compact(to_json(_notes(config)))}}}\n'


def read(source: str | Path) -> Dynapse2Config:
    """The registers of a file (Path) or text (str): one of ours, or one of the vendor's tool.

    Of a file of the vendor's tool, rows are the neurons with any CAM or SRAM entry, a population for each core;
    channels of the host are the tags that cores listen to and no neuron sends there, chip by chip; chip k stands in
    column k + 1 of row 0. Biases that `config.PARAMETERS` does not name are left out, with a line in the log, and so is
    everything outside of cores.
    Raises FormatError with everything that is wrong.
    """
    return read_text(source)


def _notes(config: Dynapse2Config) -> notes.NotesConfig:
    neurons, cores = config.neurons, config.cores
    return notes.NotesConfig(
        step_ns=config.step_ns,
        inputs=config.inputs,
        populations=config.populations,
        chips=config.chips,
        host=config.host,
        rows=np.stack([neurons.chip, neurons.core, neurons.neuron], axis=1),
        cores=np.stack([cores.chip, cores.core], axis=1),
        asked=cores.asked,
        wanted=cores.wanted,
    )


# --- text of parts --------------------------------------------------------------------------------------------------


def _bits(count: int) -> list[str]:
    """The text of every mask."""
    return [compact(numbered([bool(mask >> k & 1) for k in range(count)])) for mask in range(1 << count)]


_CORE_END: Final = compact(CORE_END)[1:]
_CHIP_END: Final = compact(CHIP_END)[1:]
_MASKS: Final = _bits(WEIGHTS)
_CORES: Final = _bits(CORES)
_FLAG: Final = ("false", "true")
_S: Final = [f'"{key}":' for key in SYNAPSE]
_D: Final = [f'"{key}":' for key in DESTINATION]


def _synapse(dendrite: int, stp: bool, mask: int, precise: bool, mismatched: bool, tag: int) -> str:
    return (
        f"{{{_S[0]}{dendrite},{_S[1]}{_FLAG[stp]},{_S[2]}{_MASKS[mask]},"
        f"{_S[3]}{_FLAG[precise]},{_S[4]}{_FLAG[mismatched]},{_S[5]}{tag}}}"
    )


def _destination(core_mask: int, x_hop: int, y_hop: int, tag: int) -> str:
    return f"{{{_D[0]}{_CORES[core_mask]},{_D[1]}{x_hop},{_D[2]}{y_hop},{_D[3]}{tag}}}"


def _neuron(config: Dynapse2Config, row: int) -> str:
    cam, sram = config.cam, config.sram
    columns = (cam.dendrite, cam.stp, cam.mask, cam.precise_delay, cam.mismatched_delay, cam.tag)
    entries = zip(*(column[row].tolist() for column in columns), strict=True)
    synapses = ",".join(f'"value{k}":{_synapse(*entry)}' for k, entry in enumerate(entries))
    fields = (sram.core_mask, sram.x_hop, sram.y_hop, sram.tag)
    targets = zip(*(column[row].tolist() for column in fields), strict=True)
    destinations = ",".join(f'"value{k}":{_destination(*entry)}' for k, entry in enumerate(targets))
    latches = config.neurons.latches[row].tolist()
    switches = ",".join(f'"{key}":{_FLAG[latches[column]]}' for key, column in LATCH_KEYS)
    return f'{{"synapses":{{{synapses}}},"destinations":{{{destinations}}},{switches}}}'


def _parameter(name: str, coarse: int, fine: int) -> dict[str, Any]:
    kind = name[-1]
    values = (ord(kind), coarse, fine, 0, 0, INITIAL_TYPE[kind], False)
    return {"key": name, "value": dict(zip(PARAMETER, values, strict=True))}


def _parameters(config: Dynapse2Config) -> tuple[dict[int, str], dict[int, int]]:
    """Text of the biases, and the monitored neuron, of each core that has a row."""
    cores = config.cores
    biases, monitored = {}, {}
    for row, place in enumerate(cores.place.tolist()):
        pairs = zip(PARAMETERS, cores.coarse[row].tolist(), cores.fine[row].tolist(), strict=True)
        biases[place] = compact([_parameter(*pair) for pair in pairs])
        monitored[place] = int(cores.monitored[row])
    return biases, monitored


_NO_PARAMETERS: Final = compact([_parameter(name, 0, 0) for name in PARAMETERS])
