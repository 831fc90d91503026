"""The documents say what is so: their code runs, their tables are complete."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import attrs
import pytest

import hal
from hal.capabilities import VOCABULARY
from hal.semantics import PROFILES, Semantics
from hal_dynapcnn import chips
from hal_dynapcnn.options import SpeckMapOptions, SpeckOpenOptions
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
    # in the page's code, after a backtick or another option; a call of Semantics or hal.open has a bracket before it
    named = {name for code in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"(?:^|, )([a-z_]+)=", code)}
    assert named
    # what the reader of the network is told, and a test's own arguments, are not options
    assert named <= options | {"kind"}, named - options
    for name in options:
        assert f"| `{name}` |" in text, name
    for word in LoihiMapOptions.approximations:
        assert f"`{word}`" in text, word


def test_every_capability_has_its_sentence() -> None:
    for word in VOCABULARY.values():
        assert all((word.meaning, word.used_by, word.forbids)), word.name
