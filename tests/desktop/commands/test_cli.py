"""The command line as scripts and people meet it: exit codes, one JSON document, help."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from converters.events import Note, Progress, Stage
from desktop.cli import COMMANDS
from desktop.commands.live import LiveLine
from desktop.commands.options import columns_of, resolved_spec


def _run(*words: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    more = ["--home", str(home)] if home else []
    return subprocess.run(
        [sys.executable, "-P", "-m", "desktop", *words, *more], capture_output=True, text=True,
        check=False,
    )


def test_without_arguments_the_commands_are_listed():
    run = _run()
    assert all(name in run.stdout for name in COMMANDS)


@pytest.mark.parametrize("words", [("tun",), ("chat",), ("models", "--engine", "other")])
def test_wrong_usage_ends_with_exit_code_2(words):
    run = _run(*words)
    assert run.returncode == 2
    assert run.stdout == ""
    assert "Traceback" not in run.stderr


def test_an_error_is_three_plain_lines_without_json(tmp_path):
    run = _run("chat", "nobody", "--once", "hi", "--engine", "builtin", home=tmp_path)
    assert run.returncode == 1
    title, detail, hint = run.stderr.strip().splitlines()
    assert title == "Error: There is no model 'nobody'"
    assert detail == "The built-in engine holds: none."
    assert hint.startswith("Choose one of these, or add a GGUF")


def test_an_error_is_one_document_with_json(tmp_path):
    run = _run("chat", "nobody", "--once", "hi", "--engine", "builtin", "--json", home=tmp_path)
    assert (run.returncode, run.stderr) == (1, "")
    assert json.loads(run.stdout)["error"].keys() == {"title", "detail", "hint"}


def test_an_empty_question_is_refused(tmp_path):
    run = _run("chat", "x", "--once", " ", "--json", home=tmp_path)
    assert json.loads(run.stdout)["error"]["title"] == "The question is empty."


def test_f30_a_home_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / "home"
    run = _run("models", "--json", "--engine", "builtin", home=home)
    assert (run.returncode, json.loads(run.stdout)) == (0, [])
    assert run.stderr == (
        f"Not saving: {home} is not there and cannot be made. Choose another folder with --home "
        "or TUNEDESK_HOME.\n"
    )


def test_a_specification_file_takes_options_on_top(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text('model = "m"\ndata = "rows.jsonl"\nname = "n"\nrank = 8\n')
    columns = columns_of("prompt=q,completion=a")
    spec = resolved_spec(path, {"rank": 4, "seed": None, "columns": columns})
    assert (spec.model, spec.rank, spec.seed) == ("m", 4, 0)
    assert spec.data == tmp_path / "rows.jsonl"
    assert spec.column_map().prompt == "q"


def test_progress_in_a_pipe_is_at_most_20_lines_a_stage(capsys):
    with LiveLine() as line:
        line.report(Stage("export"))
        line.report(Note("warning", "look [here]"))
        for step in range(1000):
            line.report(Progress(step=step, steps=1000))
    shown = capsys.readouterr().err.splitlines()
    assert shown[:2] == ["write the model", "look [here]"]
    assert len(shown) <= 23
