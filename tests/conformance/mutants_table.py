"""Write docs/mutants.md: every mutant, the check meant for it, and the words by which that fails."""

import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "mutants.md"


def main():
    sys.path.insert(0, str(Path(__file__).parent / "plugins"))
    from hal_mutants import table

    PAGE.write_text(table.text(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
