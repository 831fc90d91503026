"""A mapping as a Python script that assigns every register onto samna's configuration object and has it validated.

Field names: the vendor's configuration reference for speck2b/2e/2f and the Speck Dev Kit Datasheet (August 2023).
samna itself could not be run: see docs/chips/speck.md for what is established and what is assumed.
"""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Iterator
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hal.config import to_tree
from hal.errors import CapabilityError
from hal_dynapcnn import chips
from hal_dynapcnn.config import CnnLayerConfig, SpeckConfig

if TYPE_CHECKING:
    from hal.mapping import Mapping

FORMAT: Final = "samna"
CLASSES: Final = MappingProxyType(
    {
        "speck2e": "samna.speck2e.configuration.SpeckConfiguration",
        "speck2f": "samna.speck2f.configuration.SpeckConfiguration",
        "speck2b": "samna.speck2b.configuration.SpeckConfiguration",
        "dynapcnndevkit": "samna.dynapcnn.configuration.DynapcnnConfiguration",
    }
)
"""samna's configuration class by chip: vendor's reference (2e, 2f), sinabs 2.0.0 (2b, devkit). The fields of the five
core chips are in no source read: they are not exported."""

KILL_BITS: Final = MappingProxyType(
    {
        "weights_kill_bit": "weights",
        "biases_kill_bit": "biases",
        "neurons_value_kill_bit": "neurons_initial_value",
    }
)
"""What each kill bit disables, one for one."""
DECIMATOR: Final = ("output_decimator_enable", "output_decimator_interval")
BALANCER: Final = ("input_congestion_balancer_enable",)

WIDTH: Final = 96
"""Characters of packed values on a line; a multiple of four."""

Registers = dict[str, dict[str, Any]]


def exports(chip: str) -> tuple[str, ...]:
    """The formats a chip is exported to."""
    return (FORMAT,) if chip in CLASSES else ()


def registers(config: SpeckConfig) -> Registers:
    """Every field that the chip has, by place and name; arrays as they are. Cores not in use are left out.

    Kill bits left empty are written as False: nothing is disabled.
    """
    table = chips.chip(config.chip)
    tree = to_tree(config)
    out: Registers = {}
    for core in cores_in_use(config):
        layer = tree["cnn_layers"][core]
        place = f"cnn_layers[{core}]"
        # dimensions first: what an array's shape is checked against
        out[f"{place}.dimensions"] = _flat(layer["dimensions"])
        left_out = {"dimensions", "destinations"}
        left_out.update(() if table.decimator else DECIMATOR, () if table.congestion_balancer else BALANCER)
        left_out.update(KILL_BITS)
        out[place] = {name: value for name, value in layer.items() if name not in left_out}
        if table.kill_bits:
            full = {name: layer[of].astype(bool) & False for name, of in KILL_BITS.items()}
            out[place] |= {name: layer[name] if layer[name].size else full[name] for name in KILL_BITS}
        out |= _destinations(place, layer)
    out["dvs_layer"] = _flat({name: value for name, value in tree["dvs_layer"].items() if name != "destinations"})
    out |= _destinations("dvs_layer", tree["dvs_layer"])
    blocks = ("dvs_filter", "readout", "factory_config") if table.readout else ("dvs_filter", "factory_config")
    return out | {block: _flat(tree[block]) for block in blocks}


def cores_in_use(config: SpeckConfig) -> list[int]:
    """Cores that get events from host, sensor or another core, and those with registers other than the default."""
    reached = {entry.layer for entry in config.entries}
    reached |= {d.layer for d in config.dvs_layer.destinations if d.enable}
    reached |= {d.layer for layer in config.cnn_layers for d in layer.destinations if d.enable}
    unused = CnnLayerConfig()
    return [core for core, layer in enumerate(config.cnn_layers) if core in reached or layer != unused]


def _destinations(place: str, block: dict[str, Any]) -> Registers:
    return {f"{place}.destinations[{slot}]": dict(fields) for slot, fields in enumerate(block["destinations"])}


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    """Nested objects as dotted names."""
    out: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            out |= {f"{name}.{below}": item for below, item in _flat(value).items()}
        else:
            out[name] = value
    return out


# --- text -----------------------------------------------------------------------------------------------------------

HEADER: Final = '''"""Registers of a {chip} for samna, the vendor's library. NOT VERIFIED ON SILICON.

Written by neurohal {version} from a mapping on the device {device};
model: {model}.

python THIS_FILE assigns every register onto {path}(),
asks samna whether the result is valid, and exits with 0, or with 1 and the reason. From your own program:

    from THIS_FILE import make_configuration

Cores that the mapping does not use keep samna's defaults; every other register is assigned and read back.
ENTRIES are no registers: they say to which core the spikes of each input go, and what is added to their feature.
"""
'''

FOOTER: Final = '''

def make_configuration() -> Any:
    """A new configuration object of samna. Raises ImportError, and ValueError with all that samna does not take."""
    return build(CLASS, REGISTERS)


def main() -> int:
    """The exit code: 0 when samna says that the configuration is valid, else 1 with the reason on stderr."""
    return check(CLASS, REGISTERS)


if __name__ == "__main__":
    sys.exit(main())
'''


def script(mapping: Mapping) -> str:
    """The script, in ASCII. The same mapping gives the same text. CapabilityError for a chip without a known class."""
    import hal

    config: SpeckConfig = mapping.config
    if config.chip not in CLASSES:
        raise CapabilityError(
            f"what samna calls the registers of {config.chip} is not known",
            hint=f"exported are {', '.join(CLASSES)}",
            capability="export",
            device=mapping.device,
        )
    path = CLASSES[config.chip]
    header = HEADER.format(
        chip=config.chip,
        version=hal.__version__,
        device=mapping.device,
        model="none, made from registers" if mapping.model is None else f"fingerprint {mapping.model.fingerprint}",
        path=path,
    )
    constants = {
        "DEVICE": mapping.device,
        "NEUROHAL": hal.__version__,
        "MODEL": None if mapping.model is None else mapping.model.fingerprint,
        "CLASS": path,
        "ENTRIES": [to_tree(entry) for entry in config.entries],
        "CORES": _cores(mapping),
        "HOST": [fate.node for fate in mapping.fates if fate.fate == "host"],
    }
    meanings = {
        "ENTRIES": "where the host sends the spikes of each input, every entry of it in this order",
        "CORES": "on which cores the neurons of each node of the model are",
        "HOST": "nodes of the model that are not on the chip: the host computes them",
    }
    lines = ["", ""]
    for name, value in constants.items():
        lines += [f"# {meanings[name]}"] if name in meanings else []
        lines.append(f"{name} = {value!a}")
    lines += ["", *_table(registers(config))]
    return header + _loader() + "\n".join(lines) + "\n" + FOOTER


def _loader() -> str:
    """Source of the loader, without the text that describes it as a module."""
    source = files("hal_dynapcnn").joinpath("samna_loader.py").read_text(encoding="utf-8")
    return "\n" + source[source.index("from __future__") :].replace("\r\n", "\n")


def _cores(mapping: Mapping) -> dict[str, list[int]]:
    rows = mapping.placement.rows
    found = {
        node: sorted(set(rows["core"][rows["node"] == code].tolist()) - {-1})
        for code, node in enumerate(mapping.placement.nodes)
    }
    return {node: cores for node, cores in found.items() if cores}


def _table(places: Registers) -> Iterator[str]:
    """The registers as a Python literal, one field on a line, packed values on lines of their own."""
    yield "REGISTERS: dict[str, dict[str, Any]] = {"
    for place, fields in places.items():
        yield f'    "{place}": {{'
        for name, value in fields.items():
            if not hasattr(value, "ndim"):
                yield f'        "{name}": {_plain(value)!r},'
            elif (value == value.flat[0]).all():
                yield f'        "{name}": ("{value.dtype.name}", {value.shape!r}, {value.flat[0].item()!r}),'
            else:
                yield f'        "{name}": ('
                yield f'            "{value.dtype.name}",'
                yield f"            {value.shape!r},"
                yield from (f'            "{line}"' for line in textwrap.wrap(_packed(value), WIDTH))
                yield "        ),"
        yield "    },"
    yield "}"


def _packed(values: Any) -> str:
    """Base64 of the values, little-endian, last axis fastest."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes("C")).decode("ascii")


def _plain(value: Any) -> bool | int:
    """A flag or a number, of Python's own type."""
    return value if isinstance(value, bool | int) else value.item()
