"""The three doors as others use them: in child processes, with strict settings of their own."""

import json

import pytest

import hal_conformance

STRICT = {
    "pytest.ini": "[pytest]\naddopts = --strict-markers --strict-config -p no:cacheprovider\n"
    "filterwarnings = error\nxfail_strict = true\n"
}
SUITE = ("-W", "error", "-m", "pytest", "--pyargs", "hal_conformance")
LIGHT = "SPEC-001 or SPEC-002 or MAP-001 or RUN-002"
USAGE = 4


def test_checks_are_tests_by_device_and_id(started):
    done = started(*SUITE, "--hal-device", "ideal", "-k", LIGHT, "-v", files=STRICT, ok=True)
    assert "test_check[ideal-MAP-001] PASSED" in done.stdout
    assert "4 passed" in done.stdout
    assert "ideal: none (4 passed)" in done.stdout


def test_a_report_of_a_whole_level_is_that_of_run(started, tmp_path):
    arguments = ("--hal-device", "speck2f", "--hal-level", "bronze", "--hal-report", "made/report.json")
    done = started(*SUITE, *arguments, "-q", files=STRICT, ok=True)
    assert "speck2f: bronze" in done.stdout
    report = hal_conformance.read_report(tmp_path / "made" / "report.json")
    direct = hal_conformance.run("speck2f", level="bronze")
    assert report.level == direct.level == "bronze"
    assert [(r.id, r.outcome) for r in report.results] == [(r.id, r.outcome) for r in direct.results]
    assert report.about == direct.about


def test_two_devices_in_two_processes_give_two_reports(started, tmp_path):
    devices = ("--hal-device", "ideal", "--hal-device", "speck2f")
    options = ("-n", "2", "-k", LIGHT, "--hal-report", "r.json", "--junitxml", "junit.xml")
    done = started(*SUITE, *devices, *options, files=STRICT, ok=True)
    assert "8 passed" in done.stdout
    for name in ("ideal", "speck2f"):
        report = hal_conformance.read_report(tmp_path / f"r-{name}.json")
        assert [r.id for r in report.results] == ["SPEC-001", "SPEC-002", "MAP-001", "RUN-002"]
        assert report["MAP-001"].measured["witness"]
    assert "hal_conformance" in (tmp_path / "junit.xml").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "needs --hal-device NAME"),
        (("--hal-device", "speck2g"), "did you mean speck2f"),
        (("--hal-device", "ideal", "--hal-level", "platinum"), "there is no level 'platinum'"),
        (("--hal-device", "ideal", "--hal-expect", "expect.toml"), "no such check"),
        (("--hal-device", "ideal", "--hal-expect", "nowhere.toml"), "nowhere.toml holds no expected failures"),
        (("--hal-device", "ideal", "--hal-expect", "above.toml", "--hal-level", "bronze"), "RUN-002"),
        (("--hal-device", "ideal", "--hal-expect", "empty.toml"), "has a reason"),
        (("--hal-device", "broken"), "'broken'"),
    ],
)
def test_mistakes_are_usage_errors(started, options, words, tmp_path):
    files = {
        **STRICT,
        "expect.toml": "[MAP-0001]\nreason = 'typo'\nuntil = 2099-01-31\n",
        "above.toml": "[RUN-002]\nreason = 'known'\nuntil = 2099-01-31\n",
        "empty.toml": "[RUN-002]\nissue = 7\n",
        "hal_broken_plugin.py": "raise ImportError('no driver')\n",
    }
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[hal.plugins]\nbroken = hal_broken_plugin\n[hal.devices]\nbroken = hal_broken_plugin\n"
    )
    done = started(*SUITE, *options, files=files, path=(tmp_path,))
    assert done.returncode == USAGE, done.stdout + done.stderr
    assert words in done.stderr
    assert "passed" not in done.stdout
    if "broken" in options:
        assert "no driver" in done.stderr


def test_options_without_a_device_are_a_usage_error_anywhere(started):
    done = started("-m", "pytest", "--hal-level", "bronze", files={"test_own.py": "def test_a(): pass\n"})
    assert done.returncode == USAGE
    assert "--hal-level needs --hal-device" in done.stderr


def test_the_file_given_by_its_path_wants_a_device_too(started):
    from hal_conformance import test_conformance

    done = started("-m", "pytest", test_conformance.__file__, files=STRICT)
    assert done.returncode not in (0, 5)
    assert "needs --hal-device NAME" in done.stdout + done.stderr


AUTHOR = """
import pytest
import hal_conformance
from hal.testing import registered
from hal_mutants import plugin

@pytest.fixture(autouse=True, scope="module")
def in_use():
    with registered(plugin, plugin.FAMILY):
        yield

@hal_conformance.parametrize_checks("{device}", level="silver", expected={expected})
def test_mine(check):
    check()
"""


def author(device, expected=None):
    return {**STRICT, "test_own.py": AUTHOR.format(device=device, expected=expected or {})}


def test_an_author_decorates_one_function(started):
    choice = f"{LIGHT} or MAP-009 or RST-002"
    done = started("-W", "error", "-m", "pytest", "-v", "-rs", "-k", choice, files=author("modest"), ok=True)
    assert "test_own.py::test_mine[modest-MAP-001] PASSED" in done.stdout
    assert "test_own.py::test_mine[modest-RST-002] SKIPPED" in done.stdout
    assert "not applicable: map.like is not declared, and refused" in done.stdout
    assert "4 passed, 2 skipped" in done.stdout


def test_failures_are_failures_and_expected_ones_strict(started):
    files = author("drops-last", {"RUN-002": "loses one", "MAP-001": "was wrong once"})
    options = ("-m", "pytest", "-v", "-rx", "-k", f"{LIGHT} or RUN-003")
    done = started(*options, files=files, ok=False)
    assert "test_mine[drops-last-RUN-002] XFAIL" in done.stdout
    assert "loses one (stimulus 0" in done.stdout
    assert "test_mine[drops-last-MAP-001] FAILED" in done.stdout
    assert "take it off the list" in done.stdout
    assert "test_mine[drops-last-RUN-003] FAILED" in done.stdout
    assert "2 failed, 2 passed" in done.stdout
    assert "1 xfailed" in done.stdout
    forced = started(*options, "--runxfail", files=files, ok=False)
    assert "3 failed, 2 passed" in forced.stdout


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("busy", "blocked: the device is busy: somebody else holds it"),
        ("crashes", "ZeroDivisionError: the emulator divides by zero"),
        ("nowhere", "there is no device 'nowhere'"),
    ],
)
def test_what_cannot_be_checked_is_never_green(started, device, words):
    done = started("-m", "pytest", "-k", "RUN-002", files=author(device), ok=False)
    assert words in done.stdout
    assert "1 failed" in done.stdout


def test_expected_failures_come_from_a_file(started, tmp_path):
    from hal_conformance.expectations import read_expected

    path = tmp_path / "expect.toml"
    path.write_text(
        "[MAP-001]\nreason = 'too small'\nuntil = 2099-01-31\n"
        "[RUN-002]\nreason = 'noise'\nissue = 12\nuntil = 2099-01-31\n"
    )
    assert read_expected(path) == {
        "MAP-001": "too small, until 2099-01-31",
        "RUN-002": "noise, issue 12, until 2099-01-31",
    }
    options = ("--hal-device", "ideal", "-k", LIGHT, "--hal-expect", "expect.toml", "--hal-report", "r.json")
    done = started(*SUITE, *options, files=STRICT, ok=False)
    assert "2 failed, 2 passed" in done.stdout
    outcomes = {row["id"]: row["outcome"] for row in json.loads((tmp_path / "r.json").read_text())["results"]}
    assert outcomes == {"SPEC-001": "passed", "SPEC-002": "passed", "MAP-001": "failed", "RUN-002": "failed"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("MAP-001 = 'too small'", "[MAP-001]: an expected failure has a reason and a date"),
        ("[MAP-001]\nuntil = 2099-01-31", "[MAP-001] reason: an expected failure has a reason"),
        ("[MAP-001]\nreason = ' '\nuntil = 2099-01-31", "[MAP-001] reason"),
        ("[MAP-001]\nreason = 'noise'", "[MAP-001] until: until when is it expected?"),
        ("[MAP-001]\nreason = 'noise'\nuntil = 'some day'", "[MAP-001] until"),
        ("[MAP-001]\nreason = 'noise'\nuntil = 2099-01-31T10:00:00", "[MAP-001] until"),
        ("[MAP-001]\nreason = 'noise'\nuntil = 2001-01-31", "[MAP-001] until: has passed (value 2001-01-31)"),
        ("[MAP-001]\nreason = 'noise'\nuntil = 2099-01-31\nwho = 'me'", "[MAP-001] who: no such field"),
        ("[MAP-1]\nreason = 'noise'\nuntil = 2099-01-31", "no such check"),
    ],
)
def test_an_expected_failure_has_a_known_id_a_reason_and_a_day_to_come(tmp_path, text, words):
    from hal.errors import ConfigError
    from hal_conformance.expectations import read_expected

    path = tmp_path / "expect.toml"
    path.write_text(f"{text}\n")
    with pytest.raises(ConfigError) as caught:
        read_expected(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_everything_wrong_with_expected_failures_is_said_at_once(tmp_path):
    from hal.errors import ConfigError
    from hal_conformance.expectations import read_expected

    path = tmp_path / "expect.toml"
    path.write_text("[MAP-1]\nwho = 'me'\n[RUN-002]\nuntil = 2001-01-31\n")
    with pytest.raises(ConfigError) as caught:
        read_expected(path)
    assert len(caught.value.problems) == 6


def test_the_plugin_does_nothing_in_other_peoples_tests(started):
    files = {**STRICT, "test_own.py": "import sys\ndef test_a():\n    assert 'hal' not in sys.modules\n"}
    done = started("-W", "error", "-m", "pytest", "-q", files=files, ok=True)
    assert "1 passed" in done.stdout
    assert "conformance" not in done.stdout


def test_the_plugin_can_be_named_where_autoload_is_off(started):
    options = ("-p", "hal_conformance.pytest_plugin", "--pyargs", "hal_conformance", "--hal-device", "ideal")
    done = started("-m", "pytest", "--disable-plugin-autoload", *options, "-k", LIGHT, ok=True)
    assert "4 passed" in done.stdout


@pytest.mark.parametrize("mode", ["prepend", "append"])
def test_any_import_mode_will_do(started, mode):
    done = started(*SUITE, "--import-mode", mode, "--hal-device", "ideal", "-k", LIGHT, files=STRICT, ok=True)
    assert "4 passed" in done.stdout


def test_importing_the_package_and_its_pytest_plugin_is_light(started):
    code = (
        "import sys, pytest; before = set(sys.modules)\n"
        "import hal_conformance, hal_conformance.pytest_plugin\n"
        "print(sorted(name for name in set(sys.modules) - before))"
    )
    done = started("-W", "error", "-c", code, ok=True)
    assert done.stdout.strip() == "['hal_conformance', 'hal_conformance.pytest_plugin']"


def test_public_names_are_there_and_no_others():
    names = {"Check", "Comparison", "ConformanceFailure", "Report", "Result", "catalogue", "check", "compare"}
    names |= {"parametrize_checks", "read_report", "run"}
    assert names <= set(dir(hal_conformance))
    for name in names:
        assert callable(getattr(hal_conformance, name))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        hal_conformance.nothing  # noqa: B018
