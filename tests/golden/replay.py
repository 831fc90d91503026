"""Replay golden files and say, per file, what was compared, how many values, and whether they are equal.

    python tests/golden/replay.py FILE... [--semantics FILE.json]

Exits 1 on any difference, and on any file in a format it cannot read. A new family adds a module with `claims(path)`
and `replay(path, semantics)` and a line in FORMATS.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import replay_brainscales2
import replay_brainscales2_rules
import replay_dynapcnn
import replay_dynapse2_alloc
import replay_dynapse2_bias
import replay_dynapse2_dynamics
import replay_dynapse2_quant
import replay_events
import replay_jaxsnn
import replay_loihi
import replay_loihi_tables
import replay_nir
import replay_xylo
from comparison import Comparison, UnreadableError

from hal.errors import HalError

FORMATS = (
    replay_brainscales2,
    replay_dynapcnn,
    replay_nir,
    replay_jaxsnn,
    replay_loihi,
    replay_loihi_tables,
    replay_xylo,
    replay_dynapse2_alloc,
    replay_dynapse2_bias,
    replay_dynapse2_quant,
    replay_dynapse2_dynamics,
    replay_brainscales2_rules,
    replay_events,
)


def replay(path: Path, semantics: Path | None = None) -> list[Comparison]:
    """Everything compared for one file. Raises UnreadableError, and what reading or running it raises."""
    if not path.is_file():
        raise UnreadableError("no such file")
    for family in FORMATS:
        if family.claims(path):
            found = family.replay(path, semantics)
            if not found:
                raise UnreadableError("nothing in it could be compared")
            return found
    raise UnreadableError("not one of the golden formats")


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Replay golden files.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--semantics", type=Path, metavar="FILE.json", help="how NIR cases are executed")
    options = parser.parse_args(arguments)
    failed = 0
    for path in options.files:
        try:
            found = replay(path, options.semantics)
        except (UnreadableError, HalError, OSError, ValueError, KeyError) as error:
            print(f"{path.name}: CANNOT REPLAY: {type(error).__name__}: {error}")
            failed += 1
            continue
        good = all(comparison.ok for comparison in found)
        failed += not good
        total = sum(comparison.values for comparison in found)
        print(f"{path.name}: {'equal' if good else 'DIFFERS'}, {total} values in {len(found)} comparisons")
        for comparison in found:
            within = f" within {comparison.tolerance:g}" if comparison.tolerance else ""
            verdict = f"equal{within}" if comparison.ok else f"{comparison.values - comparison.equal} differ"
            print(f"  {comparison.what}: {comparison.values} values, {verdict}")
    print(f"{len(options.files) - failed} of {len(options.files)} files equal")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
