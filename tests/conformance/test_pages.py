"""Reports as people and CI servers read them: whatever a device says, the page holds and the XML is one."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_conformance import Report, Result
from hal_conformance.pages import junit, markdown

OUTCOMES = ("passed", "failed", "not-applicable", "expected-failure", "blocked")
NASTY = "ends]]> & <b>\x1b[31m\x00\x07 | a\r\nline\ufffe\ud800 of text"


def report(*reasons, device="chip", about=None):
    """One check for each outcome; a reason for all but the first."""
    rows = [Result(id="RUN-001", level="silver", outcome="passed", seconds=0.25, measured={"neurons": 1024})]
    for k, outcome in enumerate(OUTCOMES[1:], start=2):
        reason = reasons[k % len(reasons)] if reasons else outcome
        rows.append(Result(id=f"RUN-00{k}", level="silver", outcome=outcome, reason=reason, seconds=0.5))
    rows.append(Result(id="LIM-001", level="gold", outcome="not-applicable", reason="no limits", binding="gold"))
    return Report(device=device, results=tuple(rows), suite={"silver": 5, "gold": 1}, about=about or {"python": "3.11"})


def test_a_test_case_for_each_check_with_what_became_of_it():
    (suite,) = ElementTree.fromstring(junit(report()))
    assert suite.attrib == {
        "name": "hal_conformance.chip",
        "tests": "6",
        "failures": "1",
        "errors": "1",
        "skipped": "3",
        "time": "2.250",
    }
    properties, *cases = suite
    assert {row.get("name"): row.get("value") for row in properties} == {"level": "none", "python": "3.11"}
    assert [(case.get("classname"), case.get("name")) for case in cases] == [
        *(("chip", f"RUN-00{k}") for k in range(1, 6)),
        ("chip", "LIM-001"),
    ]
    assert [[child.tag for child in case] for case in cases] == [
        [],
        ["failure"],
        ["skipped"],
        ["skipped"],
        ["error"],
        ["skipped"],
    ]
    assert cases[1][0].get("message") == "failed: failed"
    assert cases[0].get("time") == "0.250"


def test_the_file_says_its_own_encoding():
    assert junit(report("größer")).startswith("<?xml version='1.0' encoding='utf-8'?>")
    (suite,) = ElementTree.fromstring(junit(report("größer")).encode())
    assert suite[2][0].get("message") == "failed: größer"


def test_what_xml_has_no_room_for_is_blank():
    (suite,) = ElementTree.fromstring(junit(report(NASTY, device=NASTY, about={NASTY: NASTY})).encode())
    assert suite[2][0].get("message") == "failed: ends]]> & <b> [31m   | a  line   of text"


@given(st.text(), st.text())
def test_xml_is_valid_whatever_a_device_says(one, other):
    (suite,) = ElementTree.fromstring(junit(report(one, other, device=one, about={one: other})).encode())
    assert len(suite.findall("testcase")) == 6


def test_the_page():
    text = markdown(report())
    assert text.splitlines()[0] == "# Conformance of chip: none"
    assert "1 passed, 1 failed, 2 not-applicable, 1 expected-failure, 1 blocked. python 3.11." in text
    assert "Gold needs these passed:\n\n- LIM-001: no limits\n\n|" in text
    assert "| RUN-001 | silver | passed | 0.25 | neurons = 1024 |" in text
    assert "| RUN-002 | silver | failed | 0.50 | failed |" in text


def test_a_page_of_nothing_and_of_gold_says_nothing_of_gold():
    nothing = Report(device="chip", results=(), suite={})
    assert markdown(nothing).splitlines()[2] == "no checks."
    (row,) = report().results[-1:]
    for made in (
        nothing,
        Report(device="chip", results=(Result(id="LIM-001", level="gold", outcome="passed"),), suite={}),
    ):
        assert "Gold needs" not in markdown(made)
    assert "Gold needs" in markdown(Report(device="chip", results=(row,), suite={}))


@pytest.mark.parametrize("text", [NASTY, "a\n\n| b | c |", "<script>"])
def test_no_text_leaves_its_cell(text):
    page = markdown(report(text, device=text, about={"text": text}))
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 6
    for row in rows[2:]:
        assert row.replace("\\|", "").count("|") == 6
    assert "<" not in page
    assert "\x1b" not in page
    assert page.splitlines()[0].startswith("# Conformance of ")


@given(st.text())
def test_a_row_is_a_line_whatever_a_device_says(text):
    lines = markdown(report(text, about={"text": text})).splitlines()
    assert len(lines) == len(("title", "", "summary", "")) + len(("gold", "", "a check", "")) + 2 + 6
