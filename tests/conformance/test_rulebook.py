"""The checks themselves: ids, levels, words, twins."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import hal_conformance
from hal.capabilities import VOCABULARY
from hal.errors import ConfigError
from hal_conformance import rulebook
from hal_conformance.rulebook import chosen

CHECKS = hal_conformance.catalogue()


def test_there_are_enough_and_their_ids_are_unique():
    ids = [check.id for check in CHECKS]
    assert len(ids) == len(set(ids))
    assert sum(check.level == "bronze" for check in CHECKS) >= 10
    assert sum(check.level == "silver" for check in CHECKS) >= 20
    assert sum(check.level == "gold" for check in CHECKS) >= 8


def test_gold_needs_routes_resets_overload_limits_agreement_and_vectors_passed():
    binding = {check.id for check in CHECKS if check.binding == "gold"}
    assert binding == {
        *("RST-002", "RST-003", "RST-004", "RST-005"),
        *("LIM-001", "LIM-002", "ROUT-001", "ROUT-002", "ROUT-010", "OVR-001", "AGR-001", "VEC-001"),
    }


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_each_says_its_rule_and_what_it_needs(check):
    assert re.fullmatch(rf"({'|'.join(rulebook.GROUPS)})-\d{{3}}", check.id)
    assert check.level in ("bronze", "silver", "gold")
    assert check.binding in (None, "gold")
    assert re.fullmatch(r"Given .+, when .+, then .+\.", check.rule)
    assert check.requires <= VOCABULARY.keys()
    assert bool(check.requires) == bool(check.twin)
    assert list(inspect.signature(check.body).parameters) == ["ctx"]
    assert check.body.__name__.startswith("check_")
    assert check.limit_s > 0


def test_order_is_by_level_then_group_then_number():
    levels = [check.level for check in CHECKS]
    assert levels == sorted(levels, key=("bronze", "silver", "gold").index)
    silver = [check.id for check in CHECKS if check.id.startswith("RUN")]
    assert silver == sorted(silver)


def test_checks_fail_by_the_suites_own_failure_only():
    """No assert statement: it would vanish under -O, and could not be told from one of the device's."""
    folder = Path(inspect.getfile(hal_conformance)).parent
    modules = [*folder.glob("*.py"), *folder.glob("checks/*.py")]
    assert len(modules) > 15
    for module in modules:
        found = [node.lineno for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Assert)]
        assert not found, f"{module.name}: assert in lines {found}"


def test_the_decorator_returns_the_function_itself():
    def check_nothing(ctx):
        """Given nothing, when nothing, then nothing."""

    made = hal_conformance.check("RUN-999", level="gold")(check_nothing)
    try:
        assert made is check_nothing
        assert "RUN-999" in [check.id for check in hal_conformance.catalogue()]
    finally:
        rulebook._found.pop("RUN-999")


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("an id is GROUP-nnn", {"id": "run-1"}),
        ("an id is GROUP-nnn", {"id": "NONSENSE-001"}),
        ("the id is taken", {"id": "MAP-001"}),
        ("unknown level", {"level": "platinum"}),
        ("binding: unknown level", {"binding": "platinum"}),
        ("unknown capability", {"requires": {"teleport"}, "twin": print}),
        ("has a twin", {"requires": {"map.like"}}),
        ("has a twin", {"twin": print}),
        ("'Given ..., when ..., then ...'", {"doc": "Looks whether it works."}),
        ("'Given ..., when ..., then ...'", {"doc": None}),
    ],
)
def test_a_check_that_is_not_in_order_is_refused(words, arguments):
    arguments = {"id": "RUN-998", "level": "silver", "doc": "Given a, when b, then c.", **arguments}

    def check_it(ctx):
        pass

    check_it.__doc__ = arguments.pop("doc")
    with pytest.raises(ConfigError) as caught:
        hal_conformance.check(arguments.pop("id"), **arguments)(check_it)
    assert words in str(caught.value)
    assert "RUN-998" not in [check.id for check in hal_conformance.catalogue()]


def test_choosing_by_level_takes_those_below():
    bronze = chosen("bronze")
    assert {check.level for check in bronze} == {"bronze"}
    assert {check.level for check in chosen("silver")} == {"bronze", "silver"}
    assert chosen() == CHECKS
    assert chosen("gold") == CHECKS


def test_choosing_by_id():
    assert [check.id for check in chosen(only=["RUN-002", "MAP-001"])] == ["MAP-001", "RUN-002"]
    assert [check.id for check in chosen(only="RUN-002")] == ["RUN-002"]
    with pytest.raises(ConfigError, match="RUN-002"):
        chosen("bronze", ["RUN-002"])
    with pytest.raises(ConfigError, match="there is no level 'platinum'"):
        chosen("platinum")
    with pytest.raises(ConfigError) as caught:
        chosen(only=["MAP_001", "XYZ-001"])
    assert "MAP-001" in str(caught.value)
    assert len(caught.value.problems) == 2
