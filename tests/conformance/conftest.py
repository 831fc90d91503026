"""A plugin of broken devices, kept beside these tests, and runs of pytest and python as others would start them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hal.testing import registered

PLUGINS = Path(__file__).parent / "plugins"
sys.path.insert(0, str(PLUGINS))


@pytest.fixture(scope="session")
def plugin():
    """The module of the mutants."""
    from hal_mutants import plugin

    return plugin


@pytest.fixture
def mutants(plugin):
    """The mutants, in use for one test."""
    with registered(plugin, plugin.FAMILY) as record:
        assert record.state == "loaded", record.error
        yield plugin


@pytest.fixture
def started(tmp_path):
    """Start this interpreter with arguments in an empty directory, our packages and the mutants on its path."""

    def start(*arguments, files=None, ok=None, path=(PLUGINS,)):
        for name, text in (files or {}).items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        entries = [*map(str, path), *(entry for entry in sys.path if entry)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(entries), "PYTEST_ADDOPTS": "", "COLUMNS": "200"}
        environment.pop("PYTEST_CURRENT_TEST", None)
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if ok is not None:
            assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done

    return start


def pytest_generate_tests(metafunc):
    """One test for each mutant or base, where a test asks for one; those of slow bases only in the full run."""
    if "mutant" in metafunc.fixturenames:
        from hal_mutants.catalogue import mutants

        made = [mutant for mutant in mutants().values() if mutant.meant]
        metafunc.parametrize("mutant", [_marked(m, m.name, m.base.full) for m in made])


def _marked(value, name, full):
    return pytest.param(value, id=name, marks=[pytest.mark.full] if full else [])
