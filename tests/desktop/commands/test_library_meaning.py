"""`tunedesk library search --meaning`: which model embeds; words stand whatever it does."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from desktop.cli import build_app
from desktop.commands import meaning as meaning_option
from desktop.documents import meaning as asking
from desktop.documents import minilm_embedder
from desktop.documents.minilm_embedder import is_installed
from tests.converters.documents.tiny_pdf import document, line
from tests.servers.minilm_gguf import minilm_gguf
from tests.servers.private_ollama import with_model
from tests.servers.scripted_ollama import Reply, ScriptedOllama, scripted_ollama

PAGES = ["The doctor of law signs.", "A nurse helps.", "The doctor examines sick patients."]
EMBEDDER = {"digest": "a" * 64, "capabilities": ["embedding"], "size": 5}
CHAT = {"digest": "b" * 64, "capabilities": ["completion"], "size": 1}
Search = Callable[..., Result]


@pytest.fixture(autouse=True)
def _without_the_extra(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Unless a test is about it, the extra is not installed, on whichever machine."""
    if "minilm" not in request.node.name:
        monkeypatch.setattr(minilm_embedder, "_NEEDED", ("a_package_that_is_not_there",))


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """Search a library of three pages."""
    file = tmp_path / "ward.pdf"
    file.write_bytes(document([line(50, 700, text) for text in PAGES]))
    app, home = build_app(["library"]), str(tmp_path / "home")
    added = CliRunner().invoke(app, ["library", "add", str(file), "--home", home])
    assert added.exit_code == 0, added.output

    def run(*words: str, question: str = "doctor") -> Result:
        asked = [question] if question else []
        found = CliRunner().invoke(
            app, ["library", "search", *asked, *words, "--home", home, "--json"]
        )
        assert found.exit_code == 0 or "error" in found.stdout, found.output
        return found

    return run


@pytest.fixture
def server() -> Iterator[ScriptedOllama]:
    """Holds a chat model and an embedder; vectors say that page 3 is nearest to the question."""
    with scripted_ollama() as scripted:
        listed(scripted, m=CHAT, embed=EMBEDDER)
        yield scripted


def listed(server: ScriptedOllama, **models: dict[str, Any]) -> None:
    entries = [{"name": f"{name}:latest", "model": f"{name}:latest", **fields}
               for name, fields in models.items()]  # fmt: skip
    for _ in range(8):
        server.script("GET", "/api/tags", Reply(({"models": entries},)))


def embeds(server: ScriptedOllama, *rows: list[float]) -> None:
    server.script("POST", "/api/embed", Reply(({"embeddings": list(rows)},)))


def pages(found: Result) -> list[int]:
    return [hit["page"] for hit in json.loads(found.stdout)]


def told(found: Result) -> str:
    (line,) = [line for line in found.stderr.splitlines() if line.startswith("Searched by")]
    return line


def test_auto_takes_the_embedder_that_is_there_and_says_so(search: Search, server: ScriptedOllama):
    by_words = search("--meaning", "off")
    assert pages(by_words)[:2] == [1, 3]
    assert "Searched by" not in by_words.stderr
    embeds(server, [1, 0])
    embeds(server, [0, 1], [0, 1], [1, 0])
    found = search("--ollama", server.url)
    assert told(found) == f"Searched by words and meaning (embed:latest of Ollama at {server.url})."
    hits = json.loads(found.stdout)
    assert hits[0]["page"] == 3
    assert hits[0]["by"] in ("meaning", "both")
    assert {hit["page"]: hit["by"] for hit in hits}[1] == "words"
    assert server.seen("POST", "/api/embed")[1].json["input"][0] == PAGES[0]


def test_vectors_are_kept_for_their_model_and_made_anew_for_another(
    search: Search, server: ScriptedOllama, tmp_path: Path
):
    embeds(server, [1, 0])
    embeds(server, [0, 1], [0, 1], [1, 0])
    first = search("--ollama", server.url)
    embeds(server, [1, 0])
    assert search("--ollama", server.url).stdout == first.stdout
    assert len(server.seen("POST", "/api/embed")) == 3
    with scripted_ollama() as other:
        listed(other, embed={**EMBEDDER, "digest": "c" * 64})
        embeds(other, [1, 0, 0])
        embeds(other, [0, 1, 0], [0, 1, 0], [1, 0, 0])
        search("--ollama", other.url)
        assert len(other.seen("POST", "/api/embed")) == 2
    (base,) = (tmp_path / "home").glob("libraries/*/library.sqlite")
    with sqlite3.connect(base) as connection:
        rows = connection.execute(
            "SELECT model, dimension, count(*) FROM vectors GROUP BY model"
        ).fetchall()
    connection.close()
    assert rows == [("a" * 64, 2, 3), ("c" * 64, 3, 3)]


def test_where_no_ollama_answers_no_client_is_even_loaded(search: Search, monkeypatch: Any):
    by_words = search("--meaning", "off")

    def opened(*_: Any) -> None:
        pytest.fail("a model was looked for")

    monkeypatch.setattr("desktop.commands.library_search.opened_slot", opened)
    found = search("--ollama", "http://127.0.0.1:9")
    assert told(found) == "Searched by words alone: no Ollama answers at http://127.0.0.1:9."
    assert found.stdout == by_words.stdout


def test_an_ollama_without_an_embedder_leaves_words_alone(search: Search):
    with scripted_ollama() as server:
        listed(server, m=CHAT)
        found = search("--ollama", server.url)
        assert "holds no embedding model that runs here." in told(found)
        assert server.seen("POST", "/api/embed") == []


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(({"error": "this model does not support embeddings"},), 501), "501"),
        (Reply(({"embeddings": [[1, 0]] * 2},)), "2 vectors for 1 texts"),
        (Reply(({"embeddings": [[float("nan"), 0]]},)), "vectors that are none"),
        (Reply(({"embeddings": []},)), "0 vectors for 1 texts"),
        (Reply(({"error": "model runner has unexpectedly stopped"},), 500), "unexpectedly stopped"),
    ],
)
def test_a_model_that_fails_costs_the_meaning_and_nothing_else(
    search: Search, server: ScriptedOllama, reply: Reply, reason: str
):
    by_words = search("--meaning", "off")
    server.script("POST", "/api/embed", reply)
    found = search("--ollama", server.url, "--meaning", "m")
    assert (found.exit_code, found.stdout) == (0, by_words.stdout)
    assert told(found).startswith("Searched by words alone: ")
    assert reason in told(found)


def test_a_vector_of_another_length_than_the_questions_is_refused(
    search: Search, server: ScriptedOllama
):
    embeds(server, [1, 0])
    embeds(server, [0, 1, 0], [0, 1, 0], [1, 0, 0])
    assert "vectors of different lengths" in told(search("--ollama", server.url))


def test_a_model_that_takes_too_long_leaves_the_words(
    search: Search, server: ScriptedOllama, monkeypatch: Any
):
    by_words = search("--meaning", "off")
    monkeypatch.setattr(asking, "MEANING_S", 0.2)
    server.script("POST", "/api/embed", Reply(then="stall"))
    found = search("--ollama", server.url)
    assert found.stdout == by_words.stdout
    assert "New vectors took longer than 0.2 s" in told(found)


def test_a_model_that_is_not_there_is_said(search: Search, server: ScriptedOllama):
    found = search("--ollama", server.url, "--meaning", "nowhere")
    assert "Ollama has no model named 'nowhere'" in told(found)
    assert pages(found)


def test_many_questions_give_up_after_two_failures(
    search: Search, server: ScriptedOllama, tmp_path: Path
):
    batch = tmp_path / "questions.jsonl"
    batch.write_text('{"q": "doctor"}\n' * 5)
    for _ in range(5):
        server.script("POST", "/api/embed", Reply(({"error": "no"},), 501))
    found = search("--batch", str(batch), "--ollama", server.url, question="")
    assert [len(hits) for hits in json.loads(found.stdout)] == [3] * 5
    assert "Searched by words alone: " in told(found)
    assert len(server.seen("POST", "/api/embed")) == 2


def test_s8_no_text_goes_to_a_cloud_model_unless_it_is_allowed(search: Search):
    cloud = {**EMBEDDER, "remote_host": "https://ollama.com:443", "remote_model": "embed"}
    with scripted_ollama() as server:
        listed(server, embed=cloud)
        unasked = search("--ollama", server.url)
        assert "holds no embedding model that runs here." in told(unasked)
        refused = search("--ollama", server.url, "--meaning", "embed")
        error = json.loads(refused.stdout)["error"]
        assert error["title"] == "Documents would leave this machine for ollama.com:443."
        assert server.seen("POST", "/api/embed") == []
        embeds(server, [1, 0])
        embeds(server, [0, 1], [0, 1], [1, 0])
        allowed = search("--ollama", server.url, "--meaning", "embed", "--allow-host",
                         "ollama.com:443")  # fmt: skip
        assert "words and meaning" in told(allowed)


def test_s8_another_machine_is_not_asked_for_a_model_unasked(search: Search):
    found = search("--ollama", "http://192.0.2.1:11434")
    assert "documents go to no other machine unasked" in told(found)
    assert pages(found)


@pytest.mark.ollama
def test_a_real_embedder_finds_the_page_that_says_it_in_other_words(
    search: Search, ollama_server: Any
):
    with_model(ollama_server, minilm_gguf(), "all-minilm", template=None, parameters={})
    question = "doctor of a hospital"
    by_words = search("--meaning", "off", question=question)
    found = search("--ollama", ollama_server.url, question=question)
    assert "words and meaning (all-minilm:latest" in told(found)
    assert (pages(by_words)[0], pages(found)[0]) == (1, 3)
    again = search("--ollama", ollama_server.url, question=question)
    assert again.stdout == found.stdout


@pytest.mark.skipif(not is_installed(), reason="the extra `meaning` is not installed")
def test_minilm_of_the_extra_serves_where_no_ollama_does(search: Search):
    found = search("--ollama", "http://127.0.0.1:9", question="doctor of a hospital")
    assert told(found) == "Searched by words and meaning (minilm)."
    assert pages(found)[0] == 3


def test_the_word_minilm_without_the_extra_says_what_to_install(
    search: Search, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(minilm_embedder, "_NEEDED", ("a_package_that_is_not_there",))
    found = search("--meaning", meaning_option.MINILM)
    assert "The extra for search by meaning is not installed." in told(found)
    assert pages(found)
