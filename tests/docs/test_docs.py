"""The documents say what is so: their code runs, their tables are complete."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from pathlib import Path

import attrs
import pytest

import hal
from hal import cli
from hal.capabilities import VOCABULARY
from hal.config import to_json
from hal.semantics import PROFILES, Semantics
from hal_dynapcnn import chips
from hal_dynapcnn.options import SpeckMapOptions, SpeckOpenOptions
from hal_dynapse2.options import Dynapse2MapOptions, Dynapse2OpenOptions, Dynapse2Profile
from hal_loihi.options import LoihiMapOptions, LoihiOpenOptions

ROOT = Path(__file__).parents[2]
STAND_INS = {
    '"model.nir"': repr(str(ROOT / "examples" / "models" / "digits_cnn.nir")),
    '"digit.npy"': repr(str(ROOT / "examples" / "data" / "digit.npy")),
}


def code(path: Path) -> str:
    """All Python of a document, on the shipped network and recording."""
    text = "\n".join(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))
    for name, stand_in in STAND_INS.items():
        text = text.replace(name, stand_in)
    return text


def test_the_code_of_the_readme_runs() -> None:
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(code(ROOT / "README.md"), names)
    recording = names["recording"]
    assert isinstance(recording, hal.Recording)
    assert recording.status == "ok"
    assert recording.counts("output").sum() > 0
    assert recording.event_count("if1") > 0


def test_the_code_on_semantics_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(code(ROOT / "docs" / "semantics.md"), {})
    assert "compare='>='" in capsys.readouterr().out


def test_every_profile_and_field_is_documented() -> None:
    text = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")
    for name in (*PROFILES, *(field.name for field in attrs.fields(Semantics))):
        assert f"| `{name}` |" in text, name


def test_every_device_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for listing in hal.devices():
        if listing.distribution == "neurohal":
            assert f"`{listing.name}`" in text, listing.name
    for alias in chips.ALIASES:
        assert f"`{alias}`" in text, alias


def test_options_named_in_the_speck_page_exist() -> None:
    text = (ROOT / "docs" / "chips" / "speck.md").read_text(encoding="utf-8")
    options = {field.name for cls in (SpeckMapOptions, SpeckOpenOptions) for field in attrs.fields(cls)}
    named = set(re.findall(r"`([a-z_]+)=", text))
    assert named
    assert named <= options | {"bias_meaning"}, named - options
    for field in attrs.fields(SpeckOpenOptions):
        assert f"`{field.name}" in text, field.name


def test_options_named_in_the_loihi_page_exist_and_all_are_named() -> None:
    text = (ROOT / "docs" / "chips" / "loihi.md").read_text(encoding="utf-8")
    options = {field.name for cls in (LoihiMapOptions, LoihiOpenOptions) for field in attrs.fields(cls)}
    # in the page's code, first or after another option; arguments of Semantics or hal.open stand within brackets
    named = {name for code in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"(?:^|, )([a-z_]+)=", code)}
    assert named
    assert named <= options | {"kind"}, named - options  # hal.open's own
    for name in options:
        assert f"| `{name}` |" in text, name
    for word in LoihiMapOptions.approximations:
        assert f"`{word}`" in text, word


def test_the_loihi_page_has_the_agreement_that_comes_out() -> None:
    """Of the networks without feedback, and the refusals: elsewhere the last bit of a sum decides much."""
    file = ROOT / "docs" / "plots" / "loihi_agreement.py"
    spec = importlib.util.spec_from_file_location("loihi_agreement", file)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules["loihi_agreement"] = script
    spec.loader.exec_module(script)
    text = (ROOT / "docs" / "chips" / "loihi.md").read_text(encoding="utf-8")
    assert f"| {' | '.join(script.COLUMNS)} |" in text
    lines = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in script.cases():
            if case.name in ("conv_pop", "lif_norse") or (case.name.endswith("subtract") and not case.approximate):
                for row in script.rows(case):
                    assert f"| {' | '.join(row)} |" in text
                    lines += 1
    assert lines == 5


def test_the_dynapse2_page_shows_what_comes_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Commands and code run one after the other; every line of a text block is in what the block before it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    text = (ROOT / "docs" / "chips" / "dynapse2.md").read_text(encoding="utf-8")
    printed, names, shown = "", dict[str, object](), 0
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        if kind == "text":
            lines = [" ".join(line.split()) for line in printed.splitlines()]
            for line in filter(None, block.splitlines()):
                assert " ".join(line.split()) in lines
                shown += 1
            continue
        capsys.readouterr()
        if kind == "sh":
            for command in block.replace("tests/golden", str(ROOT / "tests" / "golden")).splitlines():
                program, *arguments = command.split()
                assert (program, cli.run(arguments)) == ("hal", 0), command
        else:
            assert kind == "python"
            exec(block, names)
        printed = capsys.readouterr().out
    assert shown > 10
    mapping, back = (hal.read_mapping(tmp_path / f"{name}.mapping") for name in ("outputs", "back"))
    assert to_json(back.config) == to_json(mapping.config)


def test_options_named_in_the_dynapse2_page_exist_and_all_are_named() -> None:
    text = (ROOT / "docs" / "chips" / "dynapse2.md").read_text(encoding="utf-8")
    options = {field.name for cls in (Dynapse2MapOptions, Dynapse2OpenOptions) for field in attrs.fields(cls)}
    named = {name for code in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"(?:^|, )([a-z_]+)=", code)}
    assert named
    assert named <= options | {"kind"}, named - options  # hal.open's own
    for name in options:
        assert f"| `{name}` |" in text, name
    for word in Dynapse2MapOptions.approximations:
        assert f"`{word}`" in text, word
    for field in attrs.fields(Dynapse2Profile):
        if field.name.startswith("denied"):
            assert f"`{field.name}`" in text, field.name


def test_every_capability_has_its_sentence() -> None:
    for word in VOCABULARY.values():
        assert all((word.meaning, word.used_by, word.forbids)), word.name
