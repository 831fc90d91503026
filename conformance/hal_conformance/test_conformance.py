"""The checks as tests: `pytest --pyargs hal_conformance --hal-device NAME`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import pytest

from hal_conformance.parametrize import tell
from hal_conformance.pytest_plugin import PROPERTY

if TYPE_CHECKING:
    from hal_conformance.parametrize import Case


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each device and check."""
    session = metafunc.config.pluginmanager.get_plugin("hal_conformance_session")
    if session is None:
        raise pytest.UsageError("hal_conformance needs --hal-device NAME; `hal devices` lists the names")
    metafunc.parametrize("case", [pytest.param(case, id=str(case)) for case in session.cases])


def test_check(case: Case, request: pytest.FixtureRequest) -> None:
    """Run one check of one device."""
    result, error = case.result()
    told = json.dumps({"device": case.subject.name, **attrs.asdict(result), "measured": dict(result.measured)})
    request.node.user_properties.append((PROPERTY, told))
    tell(result, error)
