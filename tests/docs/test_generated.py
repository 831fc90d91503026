"""Pages that are made of code and reports: fresh, complete, and made by scripts that say when they are not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import hal_conformance
from hal_conformance.clauses import CLAUSES

ROOT = Path(__file__).parents[2]


def run(script: str, *arguments: str | Path, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "docs" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_every_check_belongs_to_one_clause_of_the_contract() -> None:
    told = Counter(name for clause in CLAUSES for name in clause.checks)
    assert {name: n for name, n in told.items() if n > 1} == {}
    assert set(told) == {check.id for check in hal_conformance.catalogue()}


def test_the_contract_page_is_what_the_checks_say() -> None:
    done = run("make_contract.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The scripts beside pages of their own."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def test_a_stale_contract_page_is_found_and_written_anew(copy: Path) -> None:
    page = copy / "docs" / "contract.md"
    fresh = page.read_text(encoding="utf-8")
    page.write_text(fresh.replace("bronze", "brass", 1), encoding="utf-8")
    done = run("make_contract.py", "--check", root=copy)
    assert done.returncode == 1
    assert "stale" in done.stdout
    assert run("make_contract.py", root=copy).returncode == 0
    assert page.read_text(encoding="utf-8") == fresh


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A report on each device, as if all had passed, `ideal` with two checks that were not applicable."""
    import hal
    from hal_conformance import Report, Result

    folder = tmp_path / "reports"
    for listing in hal.devices():
        results = [
            Result(
                id=check.id,
                level=check.level,
                outcome="not-applicable"
                if listing.name == "ideal" and check.id in ("OVR-001", "LIM-001")
                else "passed",
                binding=check.binding or "",
                measured={"IF realised": 0.98765, "IF as given": 0.5} if check.id == "AGR-001" else {},
            )
            for check in hal_conformance.catalogue()
        ]
        suite = Counter(check.level for check in hal_conformance.catalogue())
        Report(device=listing.name, results=tuple(results), suite=dict(suite)).save(folder / listing.name)
    return folder


def test_the_table_of_devices_is_made_of_reports(copy: Path, reports: Path) -> None:
    assert run("make_devices.py", reports, root=copy).returncode == 0
    text = (copy / "README.md").read_text(encoding="utf-8")
    assert "| `ideal` | ideal |" in text
    assert "| silver |" in text
    assert "2 refused | 0.988 (0.50 as given) |" in text
    assert "`ideal` is not gold: the reference: it has no limits and cannot be overloaded (LIM-001, OVR-001)." in text
    assert run("make_devices.py", reports, "--check", root=copy).returncode == 0
    before, _, after = text.partition("0.988")
    (copy / "README.md").write_text(before + "0.999" + after, encoding="utf-8")
    done = run("make_devices.py", reports, "--check", root=copy)
    assert done.returncode == 1
    assert "stale" in done.stdout


def test_a_device_without_a_report_is_missed(copy: Path, reports: Path) -> None:
    shutil.rmtree(reports / "speck2f")
    done = run("make_devices.py", reports, "--check", root=copy)
    assert done.returncode == 1
    assert "no report on speck2f" in done.stdout


SHORT = {"ideal": "silver", "dynapse2-dynapsim": "bronze"}


def test_the_readme_shows_every_device_at_its_level() -> None:
    import hal
    from hal.evidence import evidence

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("<!-- devices: docs/make_devices.py -->\n")[2].partition("<!-- /devices -->")[0]
    rows = {cells[1].strip(" `"): cells[4].strip() for line in table.splitlines() if len(cells := line.split("|")) == 8}
    for listing in hal.devices():
        if listing.distribution == "neurohal":
            assert rows[listing.name] == SHORT.get(listing.name, "gold")
    for name in SHORT:
        assert evidence(name).why in table


def test_the_schema_of_reports_names_every_outcome() -> None:
    from hal_conformance.report import LEVELS, OUTCOMES

    schema = json.loads((Path(hal_conformance.__file__).parent / "report.schema.json").read_text(encoding="utf-8"))
    result = schema["properties"]["results"]["items"]["properties"]
    assert result["outcome"]["enum"] == list(OUTCOMES)
    assert result["level"]["enum"] == list(LEVELS)
