"""The template as it stands in the repository, in use for one test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hal
from hal.testing import registered

ROOT = Path(hal.__file__).parent / "template"
sys.path.insert(0, str(ROOT))


@pytest.fixture
def mychip() -> Iterator[None]:
    """The device `mychip`."""
    from hal_mychip import plugin

    with registered(plugin, "mychip") as record:
        assert record.state == "loaded", record.error
        yield
