"""Devices in order that have what the bases have not: each passes the check that judges it, and is judged by it."""

import pytest

import hal_conformance

BOTH = [
    ("rules-between", "CONF-004", {}),
    ("boards", "LOAD-007", {"kinds": "emulator, hardware"}),
    ("exports", "MAP-016", {"exports": "json"}),
    ("exports", "MAP-017", {"imports": "none"}),
    ("imports", "MAP-017", {"imports": "json"}),
    ("ticks", "RUN-018", {"steps": "250000 ns is off the quantum of 100000 ns, 20000000 ns"}),
    ("ticks", "STIM-005", {"quantum_ns": 100_000}),
    ("ported", "STIM-006", {"ports": "@x, @y"}),
]
NAMED = [
    *((prefix + name, check, measured) for prefix in ("", "loihi-") for name, check, measured in BOTH),
    ("loads-ideal", "MAP-015", {"loads": "ideal"}),
    ("loihi-loads-loihi", "MAP-015", {"loads": "loihi"}),
    ("dynapse2-loads-other-clock", "MAP-015", {"loads": "dynapse2-dynapsim"}),
    ("lenient", "MAP-014", {"approximations": "delays, firing", "changed": 3}),
    ("loihi-lenient", "MAP-014", {"approximations": "reset, delays, firing"}),
]


@pytest.mark.parametrize(
    ("name", "check", "measured"),
    [
        pytest.param(
            *row,
            marks=[pytest.mark.full] if row[0].startswith(("loihi-", "dynapse2-")) else [],
            id=f"{row[0]}-{row[1]}",
        )
        for row in NAMED
    ],
)
def test_a_device_in_order_passes_and_was_judged(mutants, name, check, measured):
    (result,) = hal_conformance.run(name, only=[check]).results
    assert result.outcome == "passed", result.reason
    assert result.measured.items() >= measured.items()


def test_rules_between_fields_keep_some_ends_from_being_taken(mutants):
    (own,), (ruled,) = (hal_conformance.run(name, only=["CONF-004"]).results for name in ("faithful", "rules-between"))
    assert ruled.measured["bounds_tried"] == own.measured["bounds_tried"] + 4
    assert ruled.measured["kept"] == own.measured["kept"] + 2
