"""Every check of the conformance suite, one test each."""

import hal_conformance


@hal_conformance.parametrize_checks("mychip", level="silver")
def test_conformance(check: hal_conformance.Case) -> None:
    check()
