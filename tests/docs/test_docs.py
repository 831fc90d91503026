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
from hal.exchange import FORMATS
from hal.semantics import PROFILES, Semantics
from hal_brainscales2.options import MapOptions, OpenOptions
from hal_brainscales2.plugin import SPEC
from hal_brainscales2.silicon import resolved
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


def test_the_code_on_files_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code(ROOT / "docs" / "files.md"), names)
    first, again = names["recording"], names["again"]
    assert isinstance(first, hal.Recording)
    assert isinstance(again, hal.Recording)
    assert first.event_count() > 0
    assert {k: v.tobytes() for k, v in first.spikes.items()} == {k: v.tobytes() for k, v in again.spikes.items()}
    assert getattr(names["update"], "finished", False)


def test_formats_of_exports_are_documented() -> None:
    text = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    for name in FORMATS:
        assert f"| `{name}` |" in text, name


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


def printed_as_shown(page: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Commands and code run one after the other; every line of a text block is in what the block before it printed."""
    text = (ROOT / "docs" / "chips" / page).read_text(encoding="utf-8")
    printed, names, shown = "", dict[str, object](), 0
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        if kind == "text":
            lines = [" ".join(line.split()) for line in printed.splitlines()]
            for line in filter(None, block.splitlines()):
                assert " ".join(line.split()) in lines
                shown += 1
            continue
        capsys.readouterr()
        here = block.replace("tests/golden", str(ROOT / "tests" / "golden"))
        if kind == "sh":
            for command in here.splitlines():
                program, *arguments = command.split()
                assert (program, cli.run(arguments)) == ("hal", 0), command
        else:
            assert kind == "python"
            exec(here, names)
        printed = capsys.readouterr().out
    return shown


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder to be in, and a terminal of one width."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    return tmp_path


def test_the_dynapse2_page_shows_what_comes_out(capsys: pytest.CaptureFixture[str], elsewhere: Path) -> None:
    assert printed_as_shown("dynapse2.md", capsys) > 10
    mapping, back = (hal.read_mapping(elsewhere / f"{name}.mapping") for name in ("outputs", "back"))
    assert to_json(back.config) == to_json(mapping.config)


def test_the_brainscales2_page_shows_what_comes_out(capsys: pytest.CaptureFixture[str], elsewhere: Path) -> None:
    assert printed_as_shown("brainscales2.md", capsys) > 30
    assert (elsewhere / "yinyang.mapping").exists()


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


def test_options_named_in_the_brainscales2_page_exist_and_all_are_named() -> None:
    text = (ROOT / "docs" / "chips" / "brainscales2.md").read_text(encoding="utf-8")
    options = {field.name for cls in (MapOptions, OpenOptions) for field in attrs.fields(cls)}
    named = {name for code in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"(?:^|, )([a-z_]+)=", code)}
    assert named
    assert named <= options | {"kind", "current_gain"}, named - options  # of hal.open, of Semantics
    for name in options:
        assert f"| `{name}` |" in text, name
    for word in MapOptions.approximations:
        assert f"`{word}`" in text, word
    for observable in SPEC.observables:
        assert re.search(rf"^\| `?{observable.variable}`? \|", text, re.M), observable.variable


def test_the_brainscales2_page_has_the_defaults_there_are() -> None:
    text = (ROOT / "docs" / "chips" / "brainscales2.md").read_text(encoding="utf-8")
    for name in ("leak", "threshold", "i_synin_gm", "synapse_dac_bias", "membrane_capacitance", "rounding", "readout"):
        (shown,) = re.findall(rf"^\| `{name}` \| (.+?) \|", text, re.M)
        default = getattr(MapOptions(), name)
        assert shown == (f"`{default}`" if isinstance(default, str) else f"{default:g}"), name
    presets, words = ("ideal", "chip", "mock"), {"true": True, "false": False, "none": None}
    made = [attrs.asdict(resolved(OpenOptions(preset=preset))) for preset in presets]
    assert f"| open option | {' | '.join(f'`{preset}`' for preset in presets)} |" in text
    for name in made[0]:
        if name != "preset":
            (shown,) = re.findall(rf"^\| `{name}` \| (.+?) \| (.+?) \| (.+?) \|", text, re.M)
            for word, values in zip(shown, made, strict=True):
                assert (words[word] if word in words else float(word)) == values[name], name


def test_every_capability_has_its_sentence() -> None:
    for word in VOCABULARY.values():
        assert all((word.meaning, word.used_by, word.forbids)), word.name
