"""The conformance suite: one judge for every device.

    hal_conformance.run("speck2f")                                  a Report, without pytest
    pytest --pyargs hal_conformance --hal-device speck2f            the same checks as tests
    @hal_conformance.parametrize_checks("mychip")                   in an author's own test file

Importing this package imports nothing else: pytest loads it into every test run through its plugin.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hal_conformance.expectations import read_expected as read_expected
    from hal_conformance.failure import ConformanceFailure as ConformanceFailure
    from hal_conformance.parametrize import Case as Case
    from hal_conformance.parametrize import parametrize_checks as parametrize_checks
    from hal_conformance.report import Comparison as Comparison
    from hal_conformance.report import Report as Report
    from hal_conformance.report import Result as Result
    from hal_conformance.report import compare as compare
    from hal_conformance.report import read_report as read_report
    from hal_conformance.rulebook import Check as Check
    from hal_conformance.rulebook import catalogue as catalogue
    from hal_conformance.rulebook import check as check
    from hal_conformance.runner import run as run

_NAMES: Final = {
    "hal_conformance.rulebook": ("Check", "catalogue", "check"),
    "hal_conformance.expectations": ("read_expected",),
    "hal_conformance.failure": ("ConformanceFailure",),
    "hal_conformance.parametrize": ("Case", "parametrize_checks"),
    "hal_conformance.report": ("Comparison", "Report", "Result", "compare", "read_report"),
    "hal_conformance.runner": ("run",),
}
_HOME: Final = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives, once."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
