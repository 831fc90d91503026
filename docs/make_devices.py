"""Write the README's table of devices from the reports of the conformance suite.

    for d in ideal speck2f ...; do hal conform $d --report REPORTS/$d; done
    python docs/make_devices.py REPORTS [--check]

REPORTS has a folder per device, with what `hal conform --report` wrote. --check writes nothing, and exits 1 where the
table is stale, or a device is missing in it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import hal
from hal import registry
from hal.evidence import evidence
from hal_conformance import Report, read_report

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- devices: docs/make_devices.py -->\n", "<!-- /devices -->\n"
HEAD = """| device | family | what it is | level | checks | agrees with `ideal` |
| --- | --- | --- | --- | --- | --- |
"""


def table(reports: list[Report]) -> str:
    """A row per device, by family and name, and below it why some are not gold."""
    rows, notes = [], []
    for report in sorted(reports, key=lambda made: (registry.spec(made.device).family, made.device)):
        spec = registry.spec(report.device)
        aliases = f"; also called {', '.join(f'`{name}`' for name in spec.aliases)}" if spec.aliases else ""
        counts = report.counts()
        refused = f", {counts['not-applicable']} refused" if counts["not-applicable"] else ""
        rows.append(
            f"| `{report.device}` | {spec.family} | {spec.summary}{aliases} | {report.level} | "
            f"{counts['passed']} passed{refused} | {_agreement(report)} |"
        )
        if report.level != "gold":
            missing = ", ".join(result.id for result in (report.short_of_gold or report.bad))
            why = evidence(report.device).why or "its plugin does not say why"
            notes.append(f"`{report.device}` is not gold: {why} ({missing}).")
    return HEAD + "\n".join(rows) + "\n" + "".join(f"\n{note}\n" for note in notes)


def _agreement(report: Report) -> str:
    """Of the kind of neurons that agree least: the share against what is realised, and against the model as given."""
    measured = report["AGR-001"].measured
    kinds = [key.removesuffix(" realised") for key in measured if key.endswith(" realised")]
    if not kinds:
        return ""
    least = min(kinds, key=lambda kind: measured[f"{kind} realised"])
    return f"{measured[f'{least} realised']:.3f} ({measured[f'{least} as given']:.2f} as given)"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Write the README's table of devices.")
    parser.add_argument("reports", type=Path, metavar="REPORTS", help="a folder with a report's folder per device")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the table is stale")
    asked = parser.parse_args()
    reports = [read_report(path) for path in sorted(asked.reports.glob("*/report.json"))]
    missing = {listing.name for listing in hal.devices()} - {report.device for report in reports}
    if missing:
        print(f"no report on {', '.join(sorted(missing))} in {asked.reports}")
        return 1
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    old, _, after = rest.partition(END)
    new = table(reports)
    if asked.check:
        if old == new:
            return 0
        print(f"the table of devices in README.md is stale; it should be:\n\n{new}")
        return 1
    README.write_text(before + START + new + END + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
