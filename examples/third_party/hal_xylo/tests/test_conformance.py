"""The suite's checks, one test each, on all three parts."""

from __future__ import annotations

from collections.abc import Callable

import hal_conformance
import pytest
from hal_conformance import parametrize_checks


@parametrize_checks("xylo-audio2")
def test_audio2(check: Callable[[], None]) -> None:
    check()


@parametrize_checks("xylo-audio3")
def test_audio3(check: Callable[[], None]) -> None:
    check()


@parametrize_checks("xylo-imu")
def test_imu(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", ["xylo-audio2", "xylo-audio3", "xylo-imu"])
def test_the_level_is_gold(name: str) -> None:
    assert hal_conformance.run(name).level == "gold"
