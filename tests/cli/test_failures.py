from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hal import cli
from hal.cli import failures
from hal.errors import ConfigError, HalError, Problem

SPECK = ("--device", "speck2f", "--semantics", "sinabs", "--dt", "1ms")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "speck2x", "--semantics", "sinabs"], "did you mean speck2f"),
        (["--device", "speck2f", "--semantics", "sinab"], "neither a semantics profile nor a file"),
        ([*SPECK[:4], "--dt", "fast"], "'fast' is not a time"),
        ([*SPECK[:4], "--dt", "0"], "at least 1 ns"),
        ([*SPECK, "--option", "reserved_core=1"], "did you mean 'reserved_cores'?"),
        ([*SPECK, "--option", "reserved_cores=99"], "0..8"),
        ([*SPECK, "--option", "reserved_cores"], "not of the form KEY=VALUE"),
        ([*SPECK, "--nonsense"], "nonsense"),
        (["--semantics", "sinabs"], "--device"),
    ],
)
@pytest.mark.parametrize("command", ["check", "map"])
def test_faults_of_the_command_line(hal, net: Path, command: str, arguments: list[str], said: str) -> None:
    outcome = hal(command, net, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert said in outcome.flat
    document = hal(command, net, *arguments, "--json")
    assert (document.code, document.err) == (2, "")
    assert set(document.json) >= {"error", "message", "problems", "hint"}
    assert said in " ".join(map(str, [document.json["message"], document.json["hint"], *document.json["problems"]]))


@pytest.mark.parametrize(("command", "said"), [("chek", "check"), ("devces", "devices")])
def test_unknown_commands(hal, command: str, said: str) -> None:
    outcome = hal(command)
    assert outcome.code == 2
    assert f"No such command '{command}'" in outcome.err
    assert "hal --help" in outcome.err


def test_models_that_are_not_there_or_broken(hal, net: Path, golden: Path, tmp_path: Path) -> None:
    outcome = hal("check", net.with_name("ne.nir"), *SPECK)
    assert outcome.code == 2
    assert f"did you mean {net}?" in outcome.flat
    assert hal("check", tmp_path / "no" / "net.nir", *SPECK).code == 2
    for path in sorted((golden / "nir" / "bad").glob("*.nir")):
        outcome = hal("check", path, *SPECK)
        assert outcome.code == 1, path
        assert outcome.err.startswith(f"error: {path}")
        assert "this is a bug" not in outcome.err


def test_a_semantics_file_that_is_broken(hal, net: Path, tmp_path: Path) -> None:
    record = tmp_path / "mine.json"
    record.write_text("{")
    assert hal("check", net, *SPECK[:2], "--semantics", record).code == 2
    record.write_text('{"profile": "sinabs", "compar": ">"}')
    outcome = hal("check", net, *SPECK[:2], "--semantics", record)
    assert outcome.code == 2
    assert "compar" in outcome.err


def test_help_and_version(hal) -> None:
    assert hal("--version").out.startswith("neurohal ")
    for command in ("devices", "info", "check", "map", "run", "export", "conform", "doctor"):
        outcome = hal(command, "--help")
        assert outcome.code == 0
        assert outcome.out.startswith(f"Usage: hal {command}")
        assert command in hal("-h").out
    outcome = hal()
    assert outcome.code == 2
    assert "Commands:" in outcome.out


def failing(error: BaseException):
    def job() -> int:
        raise error

    return job


def test_problems_are_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [Problem("too large", "fc", 5, 3, "shrink it"), Problem("missing", "if")]
    code = failures.guarded(
        failing(ConfigError("two faults", problems=problems, hint="look")), as_json=False, debug=False
    )
    assert code == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: two faults",
        "  - fc: too large (value 5, limit 3); shrink it",
        "  - if: missing",
        "  hint: look",
    ]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.nir"), 1, "x.nir: No such file or directory"),
        (PermissionError(13, "Permission denied", "x"), 1, "x: Permission denied"),
        (MemoryError("Unable to allocate 9 TiB"), 1, "not enough memory"),
        (KeyError("x"), 1, "KeyError: 'x'; this is a bug"),
        (KeyboardInterrupt(), 130, "interrupted; nothing was kept"),
        (failures.BadUsageError("no"), 2, "no"),
        (HalError("plain"), 1, "plain"),
    ],
)
def test_every_error_has_a_code_and_a_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    assert failures.guarded(failing(error), as_json=False, debug=False) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert failures.guarded(failing(error), as_json=True, debug=False) == code
    captured = capsys.readouterr()
    assert captured.err == ""
    assert '"message"' in captured.out


def test_a_reader_that_goes_away_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    with open(tmp_path / "out", "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert failures.guarded(failing(BrokenPipeError()), as_json=False, debug=False) == 1
        # what is still to be written goes nowhere
        out.write("more")
        out.flush()
        monkeypatch.undo()
    assert (tmp_path / "out").read_text() == ""
    assert capsys.readouterr().err == ""


def test_warnings_are_notes(capsys: pytest.CaptureFixture[str]) -> None:
    import warnings

    def job() -> int:
        warnings.simplefilter("always")
        warnings.warn("mind the gap", UserWarning, stacklevel=1)
        return 0

    assert failures.guarded(job, as_json=False, debug=False) == 0
    assert capsys.readouterr().err == "note: mind the gap\n"


def test_control_characters_are_made_visible(capsys: pytest.CaptureFixture[str]) -> None:
    failures.note("a\x1b[31mb\tc\u202e")
    assert capsys.readouterr().err == "note: a\\x1b[31mb\\tc\\u202e\n"


class Terminal:
    """A stream that says it is a terminal."""

    encoding = "ascii"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_text_is_wrapped_and_the_word_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    failures.say_error(HalError("one two three four five six seven eight nine ten \u2192", hint="a path/" + "x" * 60))
    lines = terminal.text.splitlines()
    assert lines[0] == "\x1b[1;31merror:\x1b[0m one two three four five six seven"
    assert lines[1] == "  eight nine ten \\u2192"
    # a path is never broken
    assert any(line.endswith("x" * 60) for line in lines)
    monkeypatch.setenv("NO_COLOR", "1")
    terminal.text = ""
    failures.say_error(HalError("plain"))
    assert terminal.text == "error: plain\n"


def test_main_ends_the_process() -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0


def test_json_of_a_fault_is_json_even_where_the_value_is_none_that_json_knows(tmp_path, capsys):
    import json

    import numpy as np

    from hal.cli import run

    np.save(tmp_path / "nan.npy", np.full((2, 2, 34, 34), np.nan))
    model = Path(__file__).parents[2] / "examples" / "models" / "digits_cnn.nir"
    code = run(
        [
            "run",
            str(model),
            "-d",
            "ideal",
            "--semantics",
            "sinabs",
            "--dt",
            "1ms",
            "--input",
            str(tmp_path / "nan.npy"),
            "--json",
        ]
    )

    def refuse(word):
        raise ValueError(word)

    document = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert code == 1
    assert "nan" in json.dumps(document)
