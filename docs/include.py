"""Code in these pages is code that is tested: `python docs/include.py` copies it in, with --check it only looks.

A block is kept in sync by a line before it: `<!-- include: PATH -->`, or `<!-- include: PATH#REGION -->` for what
stands between `# region: REGION` and `# endregion`, less common indentation. Of a .diff, a region is the part about the
file of that name. Paths start at the repository; what belongs to a package that is installed elsewhere is found there.
"""

from __future__ import annotations

import re
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"(<!-- include: (?P<path>[^#\s]+)(#(?P<region>\S+))? -->\n```(?P<kind>\w*)\n)(?P<code>.*?)(```\n)", re.S
)
MARK = re.compile(r"^[ \t]*# (region: .+|endregion)$\n?", re.M)


class StaleError(Exception):
    """A block names something that is not there."""


def included(path: str, region: str | None) -> str:
    """What a block has to hold. Raises StaleError."""
    source = find(path)
    text = source.read_text(encoding="utf-8")
    if region is None:
        return MARK.sub("", text).strip("\n") + "\n"
    if source.suffix == ".diff":
        parts = [part for part in re.split(r"^(?=--- )", text, flags=re.M) if f"/{region}\n" in part.partition("@@")[0]]
    else:
        parts = re.findall(rf"^[ \t]*# region: {re.escape(region)}$\n(.*?)^[ \t]*# endregion$", text, re.M | re.S)
    if len(parts) != 1:
        raise StaleError(f"{path} has {len(parts)} regions {region!r}")
    return textwrap.dedent(MARK.sub("", parts[0])).strip("\n") + "\n"


def find(path: str) -> Path:
    """The file, in this tree or in the package as it is installed. Raises StaleError."""
    if (ROOT / path).is_file():
        return ROOT / path
    parts = Path(path).parts
    for k, name in enumerate(parts[:-1]):
        spec = find_spec(name) if name.startswith("hal") else None
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if Path(folder, *parts[k + 1 :]).is_file():
                return Path(folder, *parts[k + 1 :])
    raise StaleError(f"there is no {path}")


def renewed(page: str) -> str:
    """A page with every block as it has to be. Raises StaleError with every fault."""
    faults = []

    def block(match: re.Match[str]) -> str:
        try:
            return match[1] + included(match["path"], match["region"]) + "```\n"
        except StaleError as fault:
            faults.append(str(fault))
            return match[0]

    out = BLOCK.sub(block, page)
    if page.count("<!-- include:") != len(BLOCK.findall(page)):
        faults.append("an include is not followed by a block of code")
    if faults:
        raise StaleError("; ".join(faults))
    return out


def main(arguments: list[str]) -> int:
    """Rewrite the pages, or with --check say which ones are stale; 1 where there are any, or an include is wrong."""
    pages = sorted(Path(__file__).parent.rglob("*.md"))
    bad = 0
    for page in pages:
        text = page.read_text(encoding="utf-8")
        try:
            wanted = renewed(text)
        except StaleError as fault:
            print(f"{page.relative_to(ROOT)}: {fault}", file=sys.stderr)
            bad = 1
            continue
        if wanted != text and "--check" in arguments:
            print(f"{page.relative_to(ROOT)} is stale: python docs/include.py", file=sys.stderr)
            bad = 1
        elif wanted != text:
            page.write_text(wanted, encoding="utf-8")
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
