"""Write docs/contract.md from the clauses of the conformance suite and the docstrings of its checks.

    python docs/make_contract.py [--check]

--check writes nothing, and exits 1 where the page is stale.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

import hal_conformance
from hal.capabilities import VOCABULARY
from hal_conformance.clauses import CLAUSES

PAGE = Path(__file__).parent / "contract.md"
HEAD = """# The contract

What the words of the interface mean, and the checks by which `hal conform` holds a device to them. This page is written
by `python docs/make_contract.py` from the checks themselves; [conformance.md](conformance.md) says how they are run.

"passed for gold" marks checks that gold needs passed: that the device refuses the feature is not enough.
"""


def page() -> str:
    """The whole page."""
    checks = {check.id: check for check in hal_conformance.catalogue()}
    lines = [HEAD]
    for clause in CLAUSES:
        lines += [f"## {clause.title}", "", clause.text, ""]
        for name in clause.checks:
            check = checks[name]
            needs = [f"requires `{word}`" for word in sorted(check.requires)]
            needs += [f"passed for {check.binding}"] if check.binding else []
            lines.append(f"- **{name}** ({', '.join([check.level, *needs])}): {check.rule}")
            lines += [f"  {line}".rstrip() for line in _more(check.body)]
        lines.append("")
    lines += [
        "## Capabilities",
        "",
        "| word | what it says | used by | its absence forbids | checks |",
        "|---|---|---|---|---|",
    ]
    for word in VOCABULARY.values():
        ids = ", ".join(name for name, check in checks.items() if word.name in check.requires)
        lines.append(f"| `{word.name}` | {word.meaning} | {word.used_by} | {word.forbids} | {ids} |")
    return "\n".join(lines) + "\n"


def _more(body: object) -> list[str]:
    """What a check's docstring says beyond its rule."""
    _, _, rest = (inspect.getdoc(body) or "").partition("\n")
    return rest.strip().splitlines()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Write docs/contract.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the page is stale")
    if parser.parse_args().check:
        if PAGE.read_text(encoding="utf-8") == page():
            return 0
        print(f"{PAGE.name} is stale: python docs/make_contract.py")
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
