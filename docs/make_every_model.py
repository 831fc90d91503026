"""Write docs/every_model.md: every model of tests/golden/nir on every installed device, and why some refuse it.

    python docs/make_every_model.py [--only MODEL ...] [--check]

--check writes nothing, and exits 1 where the page is stale. It compares the devices that are installed; rows of others
(the plugin in examples/third_party) stay as they are. --only: some models alone.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
import numpy as np

import hal
from hal import registry
from hal.comparison import Comparison, DeviceResult
from hal.samples import Samples, samples
from hal.semantics import read_semantics

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "tests" / "golden" / "nir"
PAGE = Path(__file__).parent / "every_model.md"
HEAD = """# Every model on every device

What every installed device makes of the models in [tests/golden/nir](../tests/golden/nir), which real exporters wrote,
with the input that lies beside each. Written by `docs/make_every_model.py`; `hal compare` shows the same of your own.

A device runs a model as it is, or refuses it and names every reason: a limit, or a field of the model or its semantics.
Where all reasons can be allowed (`approximate`), it is run once more with these words. **agrees** is the share of
spikes of all layers that `ideal` gives, too, on the model's numbers and on those the chip computes with; **values** the
RMS error of Outputs that give values; **changed** what the mapper says it does otherwise than the model.
"""
WORD = re.compile(r"approximate=\{'(\w+)'\}")
TIMEOUT_S = 300.0


def read(name: str) -> tuple[hal.Model, Samples]:
    """A golden model with the semantics and the input beside it."""
    path = MODELS / f"{name}.nir"
    record = read_semantics(MODELS / f"{name}.semantics.json")
    about = json.loads((MODELS / f"{name}.json").read_text(encoding="utf-8"))
    if record.dt_ns is None:
        record = attrs.evolve(record, dt_ns=round((about.get("dt_s") or 1.0) * 1e9))
    try:
        model = hal.read_model(path, record)
    except hal.ModelError as error:
        if "drop_batch_axis" not in str(error):
            raise
        model = hal.read_model(path, record, drop_batch_axis=True)
    with np.load(MODELS / f"{name}.npz", allow_pickle=False) as arrays:
        given = {key.removeprefix("in_"): arrays[key] for key in arrays.files if key.startswith("in_")}
    if set(given) != set(model.inputs):
        given = dict(zip(model.inputs, given.values(), strict=True))
    return model, samples(given, model)


def allowed(result: DeviceResult) -> frozenset[str] | None:
    """The words with which a refused model would be taken; None where some reason has none."""
    words = [WORD.search(reason) for reason in result.reasons]
    return frozenset(word[1] for word in words if word) if words and all(words) else None


def compared(name: str, devices: Sequence[str]) -> tuple[hal.Model, list[tuple[DeviceResult, DeviceResult | None]]]:
    """Each device's result, and the one with what may be allowed."""
    model, fed = read(name)
    first = hal.compare(model, fed, devices=devices, timeout_s=TIMEOUT_S)
    again: dict[frozenset[str], Comparison] = {}
    out: list[tuple[DeviceResult, DeviceResult | None]] = []
    for result in first.devices:
        words = allowed(result)
        if words and words not in again:
            same = [other.device for other in first.devices if allowed(other) == words]
            clocks = ticking(model, same) if "leak" in words else {}
            again[words] = hal.compare(
                model, fed, devices=same, approximate=words, open_options=clocks, timeout_s=TIMEOUT_S
            )
        out.append((result, again[words][result.device] if words else None))
    return model, out


def ticking(model: hal.Model, devices: Iterable[str]) -> dict[str, dict[str, float]]:
    """Open options that give a chip whose leak has a slow clock of its own one tick per step."""
    dt_ns = model.semantics.dt_ns
    fields = {name: attrs.fields_dict(registry.spec(name).open_options) for name in devices}
    return {name: {"slow_clock_hz": 1e9 / dt_ns} for name in devices if dt_ns and "slow_clock_hz" in fields[name]}


# --- the page ---------------------------------------------------------------------------------------------------------


def section(name: str, devices: Sequence[str]) -> str:
    """Of one model."""
    model, results = compared(name, devices)
    kinds = ", ".join(sorted({node.type for node in model.populations()} - {"Input"}))
    neurons = sum(node.size for node in model.populations() if node.type != "Input")
    lines = [
        f"## {name}",
        "",
        f"Profile `{model.semantics.profile}`; {neurons:,} neurons ({kinds}).",
        "",
        "| device | verdict | agrees, model's numbers | chip's numbers | values | changed, or reasons |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows: dict[tuple[str, ...], list[str]] = {}
    for result, again in results:
        family = result.family
        rows.setdefault((family, "", *cells(result)), []).append(result.device)
        if again is not None:
            words = ", ".join(sorted(allowed(result) or ()))
            rows.setdefault((family, f" with {words}", *cells(again)), []).append(again.device)
    for (_, words, *rest), names in rows.items():
        lines.append(f"| {', '.join(f'`{name}`' for name in names)}{words} | {' | '.join(rest)} |")
    return "\n".join(lines) + "\n"


def cells(result: DeviceResult) -> tuple[str, ...]:
    """What is said of a device: those of a family of which the same is said share a row."""
    changed = [] if result.report is None else [str(finding) for finding in result.report.changed]
    shown = "<br>".join(merged(changed if result.verdict == "runs" else result.reasons)) or "nothing"
    values = ", ".join(f"{error:.2g}" for error in result.signals.values())
    text = shown.replace(result.device, "the chip").replace("|", "\\|")
    return result.verdict, _share(result, "given"), _share(result, "realised"), values, text


def _share(result: DeviceResult, against: str) -> str:
    share = result.agreement("given" if against == "given" else "realised")
    return "" if share is None else f"{share:.2f}"


def merged(reasons: Iterable[str]) -> list[str]:
    """Reasons with equal words said once, for all their nodes; without hints and counts of values."""
    found: dict[str, list[str]] = {}
    for reason in reasons:
        text = " ".join(reason.split("; allow it with")[0].split("; `hal info`")[0].split())
        node, colon, rest = text.partition(": ")
        if not colon:
            node, rest = "", text
        found.setdefault(rest, []).append(node)
    out = []
    for rest, nodes in found.items():
        names = ", ".join(dict.fromkeys(node for node in nodes if node))
        out.append(f"{names}: {rest}" if names else rest)
    return out


def page(names: Sequence[str], devices: Sequence[str]) -> dict[str, str]:
    """Sections by model."""
    made = {}
    for name in names:
        print(name, flush=True)
        made[name] = section(name, devices)
    return made


def sections(text: str) -> dict[str, str]:
    """Sections of a page by model."""
    parts = re.split(r"^(?=## )", text, flags=re.M)[1:]
    return {part.splitlines()[0].removeprefix("## "): part.rstrip("\n") + "\n" for part in parts}


def visible(text: str, devices: Iterable[str]) -> list[str]:
    """Lines of a section but for rows of devices that are not installed."""
    names = set(devices)
    lines = text.strip().splitlines()
    return [line for line in lines if not line.startswith("| `") or line.split("`")[1] in names]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Write docs/every_model.md.")
    parser.add_argument("--only", action="append", metavar="MODEL")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the page is stale")
    asked = parser.parse_args(arguments)
    every = sorted(path.stem for path in MODELS.glob("*.nir"))
    devices = [listing.name for listing in hal.devices() if listing.name != "ideal"]
    old = sections(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new = page(asked.only or every, devices)
    if asked.check:
        stale = [name for name in new if visible(new[name], devices) != visible(old.get(name, ""), devices)]
        if not asked.only:
            stale += sorted(old.keys() - new.keys())
        for name in stale:
            print(f"docs/every_model.md is stale in {name}; it should be:\n\n{new.get(name, '(gone)')}")
        return 1 if stale else 0
    merged_pages = {name: text for name, text in {**old, **new}.items() if name in every}
    PAGE.write_text(HEAD + "\n" + "\n".join(merged_pages[name] for name in sorted(merged_pages)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
