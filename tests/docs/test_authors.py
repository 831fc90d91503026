"""The guide for authors: its code is what is tested, its commands exist, its patch makes the chip it says."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hal
from hal.cli import app
from hal.evidence import Evidence
from hal.hookspecs import HOOKS
from hal.testing import registered
from hal_conformance.expectations import read_expected

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEMPLATE = Path(hal.__file__).parent / "template"
PAGE = (DOCS / "authors.md").read_text(encoding="utf-8")


def module(path: Path) -> ModuleType:
    """A script of the documents, imported."""
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def include() -> ModuleType:
    return module(DOCS / "include.py")


# --- included code ----------------------------------------------------------------------------------------------------


def test_no_page_is_stale(include: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert include.main(["--check"]) == 0, capsys.readouterr().err


def test_every_block_of_code_comes_from_a_file(include: ModuleType) -> None:
    fences = re.findall(r"^```(\w+)$", PAGE, re.M)
    kinds = [match["kind"] for match in include.BLOCK.finditer(PAGE)]
    assert len(kinds) > 20
    assert sorted(kinds) == sorted(kind for kind in fences if kind != "sh")


@pytest.fixture
def page(include: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of a repository of its own, with one file to include."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "code.py").write_text("a = 1\n\n\nif a:\n    # region: inner\n    b = 2\n\n    # endregion\n")
    (tmp_path / "a.diff").write_text(
        "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-1\n+2\n--- a/y.py\n+++ b/y.py\n@@ -1 +1 @@\n+/x.py\n"
    )
    monkeypatch.setattr(include, "ROOT", tmp_path)
    monkeypatch.setattr(include, "__file__", str(tmp_path / "docs" / "include.py"))
    return tmp_path / "docs" / "page.md"


def block(what: str, code: str) -> str:
    return f"Text.\n\n<!-- include: {what} -->\n```python\n{code}```\n\nMore.\n"


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("code.py", "a = 1\n\n\nif a:\n    b = 2\n"),
        ("code.py#inner", "b = 2\n"),
        ("a.diff#x.py", "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-1\n+2\n"),
    ],
)
def test_a_stale_block_is_told_and_renewed(
    include: ModuleType, page: Path, what: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page.write_text(block(what, "old\n"))
    assert include.main(["--check"]) == 1
    assert "docs/page.md is stale: python docs/include.py" in capsys.readouterr().err
    assert page.read_text() == block(what, "old\n")
    assert include.main([]) == 0
    assert page.read_text() == block(what, code)
    assert include.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (block("nowhere.py", ""), "there is no nowhere.py"),
        (block("code.py#outer", ""), "code.py has 0 regions 'outer'"),
        (block("a.diff#z.py", ""), "a.diff has 0 regions 'z.py'"),
        ("<!-- include: code.py -->\n\nno block\n", "not followed by a block of code"),
    ],
)
def test_an_include_that_is_wrong(
    include: ModuleType, page: Path, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page.write_text(text)
    assert include.main([]) == 1
    assert says in capsys.readouterr().err
    assert page.read_text() == text


def test_what_is_installed_elsewhere_is_found(include: ModuleType, page: Path) -> None:
    assert include.find("hal/template/pyproject.toml") == TEMPLATE / "pyproject.toml"
    assert include.find("plugins/hal_ideal/plugin.py").name == "plugin.py"


# --- commands and names -----------------------------------------------------------------------------------------------


def test_commands_can_be_parsed() -> None:
    lines = [line for code in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in code.splitlines()]
    own = [shlex.split(line)[1:] for line in lines if line.startswith("hal ")]
    assert ["new-plugin", "mychip"] in own
    for arguments in own:
        app.parse(arguments)
    rest = {line.split()[0] for line in lines} - {"hal"}
    assert rest == {"cd", "python", "pytest"}
    plugin = inspect.getsource(importlib.import_module("hal_conformance.pytest_plugin"))
    for option in set(re.findall(r"--hal-\w+", PAGE)):
        assert f'"{option}"' in plugin


def test_hooks_and_names_of_the_reference_exist() -> None:
    signatures = dict(re.findall(r"^\| `(hal_\w+)\((.*?)\)`", PAGE, re.M))
    assert set(signatures) == set(HOOKS)
    specs = importlib.import_module("hal.hookspecs")
    for name, arguments in signatures.items():
        assert arguments == ", ".join(inspect.signature(getattr(specs, name)).parameters), name
    where = PAGE.partition("Where things are: ")[2].partition(".\n\n")[0]
    places = re.findall(r"((?:`\w+`,?\s)+)in `([\w.]+)`", where)
    assert len(places) == 9
    for names, place in places:
        for name in re.findall(r"\w+", names):
            assert hasattr(importlib.import_module(place), name), f"{place}.{name}"


def test_headings_that_are_linked_exist() -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in re.findall(r"^#+ (.+)$", PAGE, re.M)
    }
    links = re.findall(r"\]\(#([\w-]+)\)", PAGE)
    assert len(links) > 5
    assert set(links) <= headings


# --- what the guide builds --------------------------------------------------------------------------------------------

JUDGE = """
import sys
from hal.testing import registered
import hal_conformance
from hal_mychip import plugin
with registered(plugin, "mychip") as record:
    assert record.state == "loaded", record.error
    report = hal_conformance.run("mychip", level="silver", only=sys.argv[1:])
print(report.level, *(row.id for row in report.bad))
"""


def judged(project: Path, *only: str) -> list[str]:
    """The level that a project reaches in a process of its own, and the checks it fails; of all, or of some."""
    path = os.pathsep.join([str(project), *(entry for entry in sys.path if entry and entry != str(TEMPLATE))])
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, *only], cwd=project, env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the template."""
    return Path(shutil.copytree(TEMPLATE, tmp_path / "mychip", ignore=shutil.ignore_patterns("__pycache__")))


def test_the_leak_passes_silver(project: Path) -> None:
    patch = DOCS / "code" / "leak.diff"
    done = subprocess.run(["git", "apply", str(patch)], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"the template has changed: make docs/code/leak.diff anew: {done.stderr}"
    assert "leak" in (project / "hal_mychip" / "emulator.py").read_text(encoding="utf-8")
    assert judged(project) == ["silver"]


def test_the_word_alone_does_not(project: Path) -> None:
    plugin = project / "hal_mychip" / "plugin.py"
    text = plugin.read_text(encoding="utf-8")
    plugin.write_text(text.replace('"neuron.if",', '"neuron.if", "neuron.lif",'), encoding="utf-8")
    said = re.search(r"With the word alone it fails in ([A-Z]+-[0-9]+):", PAGE)
    assert said is not None
    assert judged(project, said[1]) == ["none", said[1]]


def test_the_evidence_is_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TEMPLATE)
    plugin = importlib.import_module("hal_mychip.plugin")
    author: Any = module(DOCS / "code" / "evidence.py")
    model = DOCS.parent / "examples" / "models" / "digits_cnn.nir"
    size = hal.read_model(model, semantics=author.SEMANTICS).nodes["input"].size
    stimulus, answer = hal.events([0, author.MS], [0, size - 1]), hal.events([author.MS], [3])
    author.keep(tmp_path, model, stimulus, answer)
    made = author.evidence(tmp_path)
    assert isinstance(made, Evidence)
    (vector,) = made.vectors
    assert (vector.name, vector.source, vector.duration_ns) == ("two_layers", "mysimulator 1.2.0", 100 * author.MS)
    assert vector.spikes["output"].tolist() == answer.tolist()
    with registered(plugin, "mychip") as record:
        assert record.state == "loaded", record.error
        mapper = hal.mapper("mychip")
        for limit in made.limits:
            assert mapper.check(limit.fits).fits
            assert {row.resource for row in mapper.check(limit.over).rows if not row.ok} == {limit.resource}
        with hal.open("mychip") as chip:
            chip.load(mapper.map(made.overload.model))
            recording = chip.run(made.overload.stimulus, made.overload.duration_ns)
    assert recording.stats["dropped"].sum() == 1


def test_the_expected_failures_can_be_read() -> None:
    expected = read_expected(DOCS / "code" / "expected.toml")
    assert list(expected) == ["RUN-015", "MAP-012"]
    assert "issues/12" in expected["MAP-012"]
