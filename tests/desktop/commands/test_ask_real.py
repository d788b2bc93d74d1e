"""`tunedesk ask` and `chat` with real weights: on a real Ollama, and on the built-in engine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.core.catalog import starter
from desktop.engine.builtin import BuiltinStore, Card
from tests.converters.documents.tiny_pdf import document, line
from tests.servers.private_ollama import PrivateOllama, call, private_ollama, with_model

WINDOW = 1024
FACTS = [
    "Acme was founded in Bern in 1987 by three engineers.",
    "In 2020 the interest expense of Acme was 12.5 million francs.",
    "At the end of 2020 Acme had a staff of 340 people.",
]


@pytest.fixture(scope="module")
def server(smollm2: Path) -> Iterator[PrivateOllama]:
    with private_ollama() as running:
        model = starter()
        with_model(running, smollm2, "m", template=model.template,
                   parameters={"stop": list(model.stops)})  # fmt: skip
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Path:
    """With a library, and the same model in the built-in engine."""
    folder = tmp_path_factory.mktemp("acme")
    (folder / "acme.pdf").write_bytes(document([line(50, 700, text) for text in FACTS]))
    # Beside it a document too long to be sent whole.
    long = "\f".join(f"Page {n} of the owl: it hunts at night. " * 30 for n in range(60))
    (folder / "owl.txt").write_text(long)
    home = tmp_path_factory.mktemp("home")
    run(home, "library", "add", str(folder), "--library", "papers")
    BuiltinStore(home / "models").add(smollm2, "m", Card(stops=starter().stops))
    return home


def run(home: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "desktop", *words, "--home", str(home)], check=False,
        capture_output=True, text=True, input=stdin, env=os.environ | {"TERM": "dumb"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran


@pytest.mark.ollama
def test_on_a_real_ollama(server: PrivateOllama, home: Path):
    here = ("--ollama", server.url)
    # The context length is the conversation's own, and it is the only one that is loaded.
    _asked(home, *here)
    [loaded] = call(server.url, "/api/ps")["models"]
    assert loaded["context_length"] == WINDOW
    _talked(home, *here)


@pytest.mark.slow
def test_on_the_built_in_engine(home: Path):
    here = ("--engine", "builtin")
    _asked(home, *here)
    _talked(home, *here)


def _asked(home: Path, *here: str) -> None:
    question = ("ask", "How large was the interest expense of Acme in 2020?", "--model", "m")
    value = json.loads(run(home, *question, "--window", str(WINDOW), *here, "--json").stdout)
    budget = value["budget"]
    assert (budget["window"], budget["exact"]) == (WINDOW, True)
    assert budget["predicted_tokens"] == budget["prompt_tokens"] <= WINDOW - budget["answer_room"]
    assert value["passages"][0]["page"] == 2
    assert value["answer"].strip()
    for cited in value["citations"]:
        assert (cited["file"], len(cited["rects"])) == ("acme.pdf", 1)
    if "builtin" in here:  # a server's prompt cache changes its numbers a little
        again = json.loads(run(home, *question, "--window", str(WINDOW), *here, "--json").stdout)
        assert again["answer"] == value["answer"]
    whole = run(home, "ask", "Who founded it?", "--file", "acme", "--model", "m", *here)
    assert "acme.pdf fits into the window: all of it goes with each question (" in whole.stderr
    long = run(home, "ask", "What hunts?", "--file", "owl", "--model", "m", "--window", str(WINDOW),
               *here)  # fmt: skip
    assert "owl.txt is too long to be sent whole; passages are searched." in long.stderr


def _talked(home: Path, *here: str) -> None:
    lines = "How large was the interest expense of Acme in 2020?\nAnd how many worked there?\n"
    words = ("chat", "m", "--library", "papers", "--window", str(2 * WINDOW), *here, "--json")
    ran = run(home, *words, stdin=lines)
    first, second = json.loads(ran.stdout)["turns"]
    assert second["budget"]["history"] > 0
    assert second["budget"]["shared_tokens"] >= first["budget"]["prompt_tokens"] - 100
    for turn in (first, second):
        assert turn["budget"]["predicted_tokens"] == turn["budget"]["prompt_tokens"]
