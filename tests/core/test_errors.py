"""Errors: Python's own classes, every fact kept through pickling, a text that says what, where, value, limit, hint."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import hal
from hal import errors
from hal.errors import DoesNotFitError, HalError, Problem
from hal.fit import Finding, FitReport, FitRow

TREE = {
    "HalError": Exception,
    "ConfigError": ValueError,
    "ModelError": ValueError,
    "FormatError": ValueError,
    "WriteError": OSError,
    "CapabilityError": NotImplementedError,
    "StateError": RuntimeError,
    "DeviceBusyError": Exception,
    "DeviceTimeoutError": TimeoutError,
    "ExecutorError": Exception,
    "PluginError": Exception,
    "OptionalDependencyError": ImportError,
    "DoesNotFitError": ValueError,
}
PLAIN = sorted(set(TREE) - {"DoesNotFitError"})


def report() -> FitReport:
    row = FitRow(resource="neurons", place="core 1", node="fc", needed=5, limit=4, unit="neurons", hint="fewer")
    fine = FitRow(resource="cores", place="chip", node="", needed=1, limit=4, unit="cores")
    refused = Finding(level="refused", node="lif", field="tau", reason="no leak", wanted=0.1, realised=0, hint="use IF")
    note = Finding(level="note", node="fc", field="weight", reason="all small")
    return FitReport(device="toy", rows=(row, fine), findings=(refused, note))


def test_the_tree_is_complete() -> None:
    found = {name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, HalError)}
    assert found == set(TREE)


@pytest.mark.parametrize("name", sorted(TREE))
def test_children_keep_pythons_habits(name: str) -> None:
    cls = getattr(hal, name)
    assert issubclass(cls, HalError)
    assert issubclass(cls, TREE[name])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", PLAIN)
def test_every_class_survives_pickling_with_its_data(name: str, protocol: int) -> None:
    problems = [Problem("too many", "fc", 5, 4, "use fewer"), Problem("none")]
    error = getattr(errors, name)("it broke", hint="mend it", problems=problems, chip=3, names=("a", "b"))
    back = pickle.loads(pickle.dumps(error, protocol))
    assert type(back) is type(error)
    assert (back.message, back.hint, back.problems, back.data) == (
        "it broke",
        "mend it",
        tuple(problems),
        {"chip": 3, "names": ("a", "b")},
    )
    assert str(back) == str(error)
    assert back.args == error.args


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_does_not_fit_carries_its_report_through_pickling(way: Any) -> None:
    error = DoesNotFitError(report())
    back = way(error)
    assert type(back) is DoesNotFitError
    assert back.report == report()
    assert str(back) == str(error)


def test_a_subclass_with_its_own_signature_survives_pickling() -> None:
    back = pickle.loads(pickle.dumps(Odd(7)))
    assert (type(back), back.data, str(back)) == (Odd, {"number": 7}, "number 7 is odd")


class Odd(errors.ConfigError):
    def __init__(self, number: int) -> None:
        super().__init__(f"number {number} is odd", number=number)


def test_an_error_caught_as_pythons_own_keeps_its_text() -> None:
    with pytest.raises(TimeoutError, match=r"^late\n  hint: wait$"):
        raise errors.DeviceTimeoutError("late", hint="wait")
    with pytest.raises(ImportError, match=r"^samna is missing$"):
        raise errors.OptionalDependencyError("samna is missing", package="samna")


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("broken"), "broken"),
        (Problem("broken", "fc"), "fc: broken"),
        (Problem("broken", "fc", 5), "fc: broken (value 5)"),
        (Problem("broken", "fc", 0), "fc: broken (value 0)"),
        (Problem("broken", "fc", 5, 4), "fc: broken (value 5, limit 4)"),
        (Problem("broken", "fc", limit=0), "fc: broken (limit 0)"),
        (Problem("broken", hint="mend"), "broken; mend"),
        (Problem("broken", "fc", 5, 4, "mend"), "fc: broken (value 5, limit 4); mend"),
    ],
)
def test_a_problem_in_one_line(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_the_text_lists_every_problem() -> None:
    error = HalError("two things", hint="look", problems=iter([Problem("a"), Problem("b", "there", 1, 2)]), extra=1)
    assert str(error) == "two things\n  - a\n  - there: b (value 1, limit 2)\n  hint: look"
    assert error.data == {"extra": 1}


def test_does_not_fit_gives_every_reason_and_only_reasons() -> None:
    text = str(DoesNotFitError(report()))
    assert text.splitlines()[0] == "the model does not fit toy"
    assert "fc on core 1: needs 5 neurons (limit 4); fewer" in text
    assert "lif: tau: no leak (value 0.1, limit 0); use IF" in text
    assert "all small" not in text
    assert len(DoesNotFitError(report()).problems) == 2
