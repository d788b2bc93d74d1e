"""One real, short run of the whole thread, shared by the tests that look at what came of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import resources
from desktop.core.catalog import starter
from desktop.jobs.folder import JobFolder
from tests.servers.private_ollama import PrivateOllama, private_ollama, with_model

TRAIN_ROWS, HELD_OUT_ROWS = 90, 20
TIMEOUT_S = 900


@dataclass(frozen=True)
class Ran:
    """How one call of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Desk:
    """A home and a server to call `tunedesk` with."""

    home: Path
    server: PrivateOllama

    def run(self, *words: str, cwd: Path | None = None, **environment: str) -> Ran:
        """Call the program as a person would, in a process of its own."""
        ours = ("OLLAMA", "TUNEDESK_HOME")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        run = subprocess.run(
            [sys.executable, "-P", "-m", "desktop", *words, "--home", str(self.home)],
            env=kept | {"OLLAMA_HOST": self.server.url, "OMP_NUM_THREADS": "2"} | environment,
            capture_output=True, text=True, timeout=TIMEOUT_S, cwd=cwd, check=False,
        )
        return Ran(run.returncode, run.stdout, run.stderr)


@dataclass(frozen=True)
class Tuned:
    """The shared run: its result and its folder."""

    desk: Desk
    ran: Ran
    result: dict[str, Any]

    @property
    def folder(self) -> JobFolder:
        return JobFolder(self.desk.home / "jobs" / self.result["job"])


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Desk]:
    """A server that holds the starter model as the product creates it."""
    with private_ollama() as server:
        model = starter()
        with_model(
            server, smollm2, model.name, template=model.template,
            parameters={"stop": list(model.stops)}, license=["Apache-2.0, see the package."],
        )
        yield Desk(tmp_path_factory.mktemp("desk"), server)


@pytest.fixture(scope="session")
def mails(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A part of the sample data: training and held-out rows."""
    folder = tmp_path_factory.mktemp("mails")
    made = []
    for name, count in (("train", TRAIN_ROWS), ("held_out", HELD_OUT_ROWS)):
        lines = resources.path(f"samples/customer_mail_{name}.jsonl").read_text().splitlines()
        path = folder / f"{name}.jsonl"
        path.write_text("\n".join(lines[:count]) + "\n")
        made.append(path)
    return made[0], made[1]


@pytest.fixture(scope="session")
def tuned(desk: Desk, mails: tuple[Path, Path]) -> Tuned:
    """One epoch on 90 mails: enough to change the model's answers, about a minute."""
    train, held_out = mails
    ran = desk.run(
        "tune", "--model", "smollm2:135m", "--data", str(train), "--held-out", str(held_out),
        "--name", "tickets", "--epochs", "1", "--json",
    )
    assert ran.code == 0, ran.err[-3000:] + ran.out[-3000:]
    return Tuned(desk, ran, ran.json)
