"""F30: a home where not even root can write: reading works, starting is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.engine.builtin import BuiltinStore
from tests.desktop.jobs.job_folders import new_job
from tests.faults.drive import read_only
from tests.faults.folders import contents
from tests.faults.strace_kill import ROOT

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Path]:
    """A read-only home that holds a model and a job; the person's HOME lies in it too."""
    folder = tmp_path_factory.mktemp("home")
    BuiltinStore(folder / "models").add(smollm2, "tiny")
    new_job(folder, "earlier").artefact("result.json").write_text("{}")
    with read_only(folder):
        yield folder


def _tunedesk(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "desktop", *words, "--engine", "builtin"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TUNEDESK_HOME": str(home)}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def _note(home: Path) -> str:
    return (
        f"Not saving: {home} is read-only, or not yours to write. Choose another folder with "
        "--home or TUNEDESK_HOME.\n"
    )


def test_f30_doctor_says_that_nothing_is_saved(home: Path) -> None:
    run = _tunedesk(home, "doctor", "--json")
    assert (run.returncode, run.stderr) == (0, _note(home))
    assert json.loads(run.stdout)["disk"]["writable"] is False


def test_f30_models_and_jobs_are_listed(home: Path) -> None:
    models = _tunedesk(home, "models", "--json")
    assert (models.returncode, models.stderr) == (0, _note(home))
    assert [model["name"] for model in json.loads(models.stdout)] == ["tiny"]
    jobs = _tunedesk(home, "jobs", "--json")
    assert (jobs.returncode, jobs.stderr) == (0, _note(home))
    [job] = json.loads(jobs.stdout)
    assert job["id"].endswith("-earlier")


def test_f30_a_question_is_answered(home: Path) -> None:
    run = _tunedesk(home, "chat", "tiny", "--once", "Say yes.", "--json")
    assert (run.returncode, run.stderr) == (0, _note(home))
    assert json.loads(run.stdout)["answer_tokens"] > 0


@pytest.mark.parametrize("words", [
    ("tune", "--model", "tiny", "--name", "mine", "--data", str(ROOT / "rows.jsonl")), ("demo",),
], ids=["tune", "demo"])  # fmt: skip
def test_f30_nothing_is_started(home: Path, words: tuple[str, ...]) -> None:
    before = contents(home)
    run = _tunedesk(home, *words)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.splitlines() == [
        "Error: Nothing can be saved.",
        f"{home} is read-only, or not yours to write. Nothing was changed.",
        "Choose another folder with --home or TUNEDESK_HOME.",
    ]
    assert contents(home) == before


def test_f30_another_home_is_taken(home: Path, tmp_path: Path) -> None:
    run = _tunedesk(home, "models", "--json", "--home", str(tmp_path / "other"))
    assert (run.returncode, run.stdout, run.stderr) == (0, "[]\n", "")
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "words",
    [("verify", "earlier", "--job"), ("jobs", "delete")],
    ids=["verify", "delete"],
)
def test_f30_what_needs_the_home_names_it(home: Path, words: tuple[str, ...]) -> None:
    [job] = json.loads(_tunedesk(home, "jobs", "--json").stdout)
    run = _tunedesk(home, *words, job["id"])
    assert run.returncode == 1
    title, detail, hint = run.stderr.splitlines()
    assert title == "Error: Nothing can be saved."
    assert detail == f"{home} is read-only, or not yours to write. Nothing was changed."
    assert "--home" in hint
