"""The page of all mutants is that of today."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).with_name("mutants_table.py")


def test_the_page_is_not_stale(plugin, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("mutants_table", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    kept = script.PAGE
    monkeypatch.setattr(script, "PAGE", tmp_path / "mutants.md")
    script.main()
    assert kept.read_text(encoding="utf-8") == script.PAGE.read_text(encoding="utf-8"), (
        f"run python {SCRIPT.parent.parent.name}/{SCRIPT.parent.name}/{SCRIPT.name}"
    )


def test_every_mutant_and_its_words_are_on_the_page(plugin):
    from hal_mutants import table

    text = table.text()
    for mutant in plugin.mutants().values():
        name = mutant.name.removeprefix(mutant.base.prefix)
        for check, words in mutant.meant.items():
            rows = [line for line in text.splitlines() if line.startswith(f"| `{name}` |") and f" {check} |" in line]
            assert any(mutant.base.name in row and words.strip() in row for row in rows), mutant.name


def test_a_bar_in_a_cell_does_not_end_it():
    from hal_mutants.table import _rows

    assert _rows(("a",), [("b|c",)]).splitlines()[-1] == "| b\\|c |"
