"""A public bug report of rockpool: which neurons are the outputs, and what became of every weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import hal
from hal import cli
from hal_dynapse2.config import Dynapse2Config
from hal_dynapse2.limits import DENDRITES

GOLDEN = Path(__file__).parents[1] / "golden" / "dynapse2"


@attrs.frozen(eq=False)
class Case:
    """One file, the flags it needs, and the names of its layers: (weight node, source, target) and populations."""

    file: Path
    profile: str
    flags: tuple[str, ...]
    wires: tuple[tuple[str, str, str], ...]

    def model(self) -> hal.Model:
        """As the flags say."""
        semantics = hal.Semantics(profile=self.profile, dt_ns=1_000_000)
        return hal.read_model(self.file, semantics=semantics, drop_batch_axis="--drop-batch-axis" in self.flags)

    def mapping(self) -> hal.Mapping:
        """As the flags say."""
        options: dict[str, Any] = {"approximate": {"reset"}} if "reset" in self.flags else {}
        return hal.mapper("dynapse2").map(self.model(), options)

    @property
    def command(self) -> list[str]:
        """Up to what is printed."""
        start = ["map", str(self.file), "--device", "dynapse2", "--semantics", self.profile, "--dt", "1ms"]
        return [*start, *self.flags]


CASES = (
    Case(
        GOLDEN / "alloc_seed_issue.nir",
        "nir",
        (),
        (("lin0", "input", "n0"), ("lin1", "n0", "n1"), ("rec1", "n1", "n1"), ("lin2", "n1", "n2")),
    ),
    Case(
        GOLDEN / "rockpool_seed_issue.nir",
        "rockpool",
        ("--drop-batch-axis", "--approximate", "reset"),
        (
            ("0_LinearTorch", "input", "1_LIFTorch"),
            ("2_LinearTorch", "1_LIFTorch", "3_Recurrent.lif"),
            ("3_Recurrent.rec", "3_Recurrent.lif", "3_Recurrent.lif"),
            ("4_LinearTorch", "3_Recurrent.lif", "5_LIFTorch"),
        ),
    ),
)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.profile)
def case(request: pytest.FixtureRequest) -> Case:
    """Both files."""
    made: Case = request.param
    return made


@pytest.fixture(scope="module")
def mapping(case: Case) -> hal.Mapping:
    """Of each."""
    return case.mapping()


def test_both_outputs_are_found(mapping: hal.Mapping) -> None:
    rows = mapping.where("output")
    assert rows["index"].tolist() == [0, 1]
    assert rows["chip"].tolist() == [0, 0]
    assert rows["core"].tolist() == [0, 0]
    assert rows["neuron"].tolist() == [64, 65]
    assert rows["tag"].tolist() == [-1, -1]
    assert rows["monitor"].tolist() == [64, 65]
    assert [mapping.who(0, 0, neuron) for neuron in (64, 65)] == [(_last(mapping), 0), (_last(mapping), 1)]


def _last(mapping: hal.Mapping) -> str:
    """The population that feeds the output."""
    assert mapping.model is not None
    (feeding,) = [p.source for p in mapping.model.projections() if p.target == "output"]
    return feeding


def test_outputs_reach_the_recorder_though_nothing_listens() -> None:
    mapping = CASES[1].mapping()  # in the other file weights are small beside thresholds
    when = np.repeat(np.arange(0, 50_000_000, 500_000), 12)
    with hal.open("dynapse2") as device:
        device.load(mapping)
        recording = device.run({"input": hal.events(when, np.tile(np.arange(12), when.size // 12))}, 60_000_000)
    assert recording.event_count("output") > 0


def test_every_weight_is_in_the_memories_or_a_loss(case: Case, mapping: hal.Mapping) -> None:
    model, config = case.model(), mapping.config
    lost = {(node, index) for node, parameter, index, *_ in mapping.losses if parameter == "weight"}
    assert len(lost) == len(mapping.losses) > 0
    expected = set()
    total = 0
    for node, source, target in case.wires:
        weight = model.nodes[node].weight
        there = _entries(config, mapping, source, target)
        for index in np.flatnonzero(weight).tolist():
            row, column = divmod(index, weight.shape[1])
            total += 1
            dendrite = there.get((row, column))
            if dendrite is None:
                expected.add((node, index))
            else:
                assert dendrite == DENDRITES["ampa" if weight[row, column] > 0 else "gaba"]
        assert not set(there) - set(zip(*(axis.tolist() for axis in np.nonzero(weight)), strict=True))
    assert lost == expected
    assert total == 2496
    assert int((config.cam.mask > 0).sum()) == total - len(lost)


def _entries(config: Dynapse2Config, mapping: hal.Mapping, source: str, target: str) -> dict[tuple[int, int], int]:
    """(index of the target, of the source) -> dendrite, of the CAM entries that answer the source's tags."""
    tags = {int(row["tag"]): int(row["index"]) for row in mapping.where(source) if row["tag"] >= 0}
    run = next(run for run in config.populations if run.name == target)
    cam = config.cam
    out = {}
    for k in range(run.size):
        for slot in np.flatnonzero(cam.mask[run.first + k]).tolist():
            tag, dendrite = (int(column[run.first + k, slot]) for column in (cam.tag, cam.dendrite))
            if tag in tags:
                assert (k, tags[tag]) not in out
                out[k, tags[tag]] = dendrite
    return out


def test_losses_tell_source_target_and_weight(case: Case, mapping: hal.Mapping) -> None:
    model = case.model()
    for node, parameter, index, wanted, realised, reason in mapping.losses:
        assert (parameter, realised, reason) == ("weight", 0.0, "code 0: no connection")
        assert wanted == pytest.approx(float(model.nodes[node].weight.ravel()[index]))
    pairs = {(source, target) for source, _, target, _ in mapping.losses.connections(model)}
    assert pairs == {(source, target) for _, source, target in case.wires}


def test_the_command_line_says_the_same(
    case: Case, mapping: hal.Mapping, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "seed.mapping"
    capsys.readouterr()
    assert cli.run([*case.command, "--json", "--out", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    counted = {(row["node"], row["parameter"]): row["count"] for row in said["losses"]}
    assert counted == {(node, parameter): count for node, parameter, _, count in mapping.losses.summary()}
    assert said["fit"]["findings"] == mapping.fit.to_json()["findings"]
    saved = hal.read_mapping(out)
    np.testing.assert_array_equal(saved.where("output"), mapping.where("output"))


def test_what_rockpool_wrote_needs_its_batch_axis_dropped_and_says_so() -> None:
    case = CASES[1]
    with pytest.raises(hal.HalError, match="batch"):
        attrs.evolve(case, flags=("--approximate", "reset")).mapping()
    told = [(f.level, f.node, f.field, f.wanted, f.realised) for f in case.mapping().fit.findings]
    assert ("note", "input", "shape", (1, 12), (12,)) in told
    assert ("note", "output", "shape", (1, 1, 2), (2,)) in told


def test_what_rockpool_wrote_is_the_same_network() -> None:
    ours, theirs = (case.model() for case in CASES)
    for (mine, *_), (name, *_) in zip(CASES[0].wires, CASES[1].wires, strict=True):
        np.testing.assert_array_equal(ours.nodes[mine].weight, theirs.nodes[name].weight)
