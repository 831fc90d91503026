"""What a chip keeps of a rule, as a table: findings for all other values."""

import pytest

from hal.errors import ConfigError
from hal.notes import Notes, Only
from hal.semantics import Rule

TABLE = (
    Only(field="spike_reset", keeps=("value",), reason="resets to 0", realised="to 0", approximate="reset"),
    Only(field="compare", keeps=(">=",), reason="fires at equality", realised=">=", otherwise="changed"),
    Only(field="edge_delay", keeps=(0, 1), reason="one bit", otherwise="note"),
    Only(field="v_min", keeps=(None,), reason="no such register"),
)
WANTED = Rule(spike_reset="subtract", compare=">", edge_delay=2, v_min=-1.0)


def told(approximate: frozenset[str], rule: Rule) -> list[tuple[object, ...]]:
    notes = Notes(approximate)
    notes.only("cells", rule, TABLE)
    return [(f.level, f.node, f.field, f.reason, f.wanted, f.realised) for f in notes.findings]


def test_what_is_kept_is_not_mentioned() -> None:
    for delay in (0, 1):
        assert told(frozenset(), Rule(compare=">=", edge_delay=delay)) == []


def test_every_other_value_is_a_finding() -> None:
    assert told(frozenset(), WANTED) == [
        ("refused", "cells", "spike_reset", "resets to 0", "subtract", "to 0"),
        ("changed", "cells", "compare", "fires at equality", ">", ">="),
        ("note", "cells", "edge_delay", "one bit", 2, None),
        ("refused", "cells", "v_min", "no such register", -1.0, None),
    ]


def test_a_refusal_that_may_be_approximated_says_how_and_changes_when_allowed() -> None:
    notes = Notes(frozenset())
    notes.only("cells", WANTED, TABLE[:1])
    assert notes.refused[0].hint == "allow it with approximate={'reset'}"
    assert told(frozenset({"reset"}), WANTED)[0][0] == "changed"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"field": "spike_rest"}, "no such field of a rule"),
        ({"otherwise": "ignored"}, "no such level"),
        ({"otherwise": "changed", "approximate": "reset"}, "only what is refused can be approximated"),
    ],
)
def test_an_entry_that_says_nothing_is_an_error(wrong: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Only(**{"field": "spike_reset", "keeps": ("value",), "reason": "because", **wrong})  # type: ignore[arg-type]
