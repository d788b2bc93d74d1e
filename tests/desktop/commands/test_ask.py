"""`tunedesk ask` as scripts use it: keys, texts, exit codes, over a server that is scripted."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from desktop.cli import build_app
from tests.converters.documents.tiny_pdf import document, line
from tests.servers.scripted_ollama import Reply, ScriptedOllama, chat_line, scripted_ollama

KEYS = {"answer", "citations", "removed_citations", "passages_sent", "budget", "found"}
BUDGET = {"window", "system", "history", "passages", "answer_room", "left_out"}
MODEL = {"template": "{{ .Role }} in ChatML", "digest": "0" * 64}
FACTS = [
    "Acme was founded in Bern in 1987 by three engineers.",
    "In 2020 the interest expense of Acme was 12.5 million francs.",
    "At the end of 2020 Acme had a staff of 340 people.",
]


@pytest.fixture
def scripted() -> Iterator[ScriptedOllama]:
    with scripted_ollama() as server:
        server.models["m:latest"] = MODEL
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With a library of two documents, one of three pages and one of notes."""
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "acme.pdf").write_bytes(document([line(50, 700, text) for text in FACTS]))
    (papers / "notes.txt").write_text("The owl hunts at night and eats mice.\n")
    folder = tmp_path / "home"
    added = call(folder, "library", "add", str(papers), "--library", "papers")
    assert added.exit_code == 0, added.output
    return folder


def call(home: Path, *words: str, stdin: str | None = None) -> Result:
    app = build_app(["ask", "chat", "chats", "library"])
    return CliRunner().invoke(app, [*words, "--home", str(home)], input=stdin)


def answers(server: ScriptedOllama, *texts: str) -> None:
    end = chat_line("", done=True) | {"prompt_eval_count": 0}
    server.script("POST", "/api/chat", Reply((*map(chat_line, texts), end)))


def test_every_number_is_resolved_to_file_page_rectangles_and_quote(
    scripted: ScriptedOllama, home: Path
):
    answers(scripted, "It was 12.5 million", " francs [1]. See [9].")
    run = call(home, "ask", "How large was interest expense in 2020?", "--library", "papers",
               "--model", "m", "--ollama", scripted.url, "--json")  # fmt: skip
    assert run.exit_code == 0, run.output
    value = json.loads(run.stdout)
    assert value.keys() >= KEYS
    assert value["budget"].keys() >= BUDGET
    assert value["answer"] == "It was 12.5 million francs [1]. See."
    (cited,) = value["citations"]
    assert (cited["n"], cited["file"], cited["page"]) == (1, "acme.pdf", 2)
    assert cited["quote"] == FACTS[1]
    ((x0, top, x1, bottom),) = cited["rects"]
    assert x0 == pytest.approx(50, abs=1)
    assert x1 > x0
    assert bottom > top
    assert (value["removed_citations"], value["removed_numbers"]) == (1, [9])
    assert (value["found"], value["complete"]) == (True, True)
    assert value["passages_sent"] == len(value["passages"]) > 0
    assert value["searched"][0] == "acme.pdf"


def test_a_person_reads_the_answer_its_sources_and_where_the_window_goes(
    scripted: ScriptedOllama, home: Path
):
    answers(scripted, "340 people [1].")
    run = call(home, "ask", "How large is the staff?", "--model", "m", "--ollama", scripted.url)
    assert run.exit_code == 0, run.output
    assert run.stdout.startswith("340 people [1].\n\nSources:\n[1] acme.pdf, page 3: ")
    assert f'"{FACTS[2]}"' in run.stdout
    assert "Sent: at most " in run.stdout
    assert "not trust it" not in run.stdout
    assert " are kept for the answer." in run.stdout
    assert "Searched in: acme.pdf" in run.stdout
    assert "Tokens are counted as an upper bound" in run.stderr


def test_an_answer_without_a_number_is_matched_and_that_is_said(
    scripted: ScriptedOllama, home: Path
):
    answers(scripted, "Acme had a staff of 340 people.")
    run = call(home, "ask", "How large is the staff?", "--model", "m", "--ollama", scripted.url)
    assert "The answer names no source. By its words it fits these passages" in run.stdout
    assert "[1] acme.pdf, page 3" in run.stdout


def test_an_answer_that_no_passage_supports_says_so(scripted: ScriptedOllama, home: Path):
    for _ in range(2):
        answers(scripted, "Gluons carry the strong force between quarks.")
    words = ("ask", "How large is the staff?", "--model", "m", "--ollama", scripted.url)
    run = call(home, *words)
    assert "The answer names no source, and its words fit no passage that was sent" in run.stdout
    assert json.loads(call(home, *words, "--json").stdout)["supported"] is False


def test_the_terms_of_the_window_add_up_to_what_is_sent(scripted: ScriptedOllama, home: Path):
    answers(scripted, "340 people [1].")
    run = call(home, "ask", "How large is the staff?", "--model", "m", "--ollama", scripted.url,
               "--json")  # fmt: skip
    budget = json.loads(run.stdout)["budget"]
    terms = ("system", "history", "passages", "question")
    assert sum(budget[name] for name in terms) == budget["predicted_tokens"]


def test_passages_without_room_are_named_by_file_and_page(scripted: ScriptedOllama, home: Path):
    long = home.parent / "long"
    long.mkdir()
    (long / "long.txt").write_text("\f".join(f"Owl report {n}. " * 60 for n in range(9)))
    call(home, "library", "add", str(long), "--library", "papers")
    for _ in range(2):
        answers(scripted, "An owl [1].")
    words = ("ask", "owl report", "--model", "m", "--window", "4096", "--ollama", scripted.url)
    value = json.loads(call(home, *words, "--json").stdout)
    left = value["budget"]["passages_left_out"]
    assert value["budget"]["left_out"] == len(left) > 0
    assert {one["file"] for one in left} == {"long.txt"}
    assert "there was no room: long.txt, page" in call(home, *words).stdout


def test_the_question_may_come_from_standard_input(scripted: ScriptedOllama, home: Path):
    answers(scripted, "340 people [1].")
    run = call(home, "ask", "-", "--model", "m", "--ollama", scripted.url, "--json",
               stdin="How large is the staff?\n")  # fmt: skip
    assert json.loads(run.stdout)["citations"][0]["page"] == 3


def test_what_no_document_holds_is_said_without_asking_the_model(
    scripted: ScriptedOllama, home: Path
):
    run = call(home, "ask", "zygote xylophone?", "--model", "m", "--ollama", scripted.url, "--json")
    value = json.loads(run.stdout)
    assert (value["answer"], value["found"]) == ("This is not in your documents.", False)
    assert (value["passages_sent"], value["citations"]) == (0, [])
    assert value["budget"]["system"] == value["budget"]["predicted_tokens"] == 0
    assert [r for r in scripted.seen("POST", "/api/chat") if r.json["stream"]] == []


def test_one_document_that_fits_is_sent_whole_and_that_is_said(
    scripted: ScriptedOllama, home: Path
):
    answers(scripted, "In Bern [1].")
    run = call(home, "ask", "Where was it founded?", "--file", "acme", "--model", "m",
               "--ollama", scripted.url)  # fmt: skip
    assert "acme.pdf fits into the window: all of it" in run.stderr
    sent = scripted.seen("POST", "/api/chat")[-1].json["messages"]
    assert [one["role"] for one in sent] == ["system", "user"]
    assert all(fact in sent[0]["content"] for fact in FACTS)
    assert sent[1]["content"] == "Where was it founded?"
    assert f'[1] acme.pdf, page 1: "{FACTS[0]}"' in run.stdout


@pytest.mark.parametrize("ending", ["reset", "end"])
def test_f11_f12_an_answer_that_breaks_off_is_shown_and_never_taken_for_the_whole(
    ending, scripted: ScriptedOllama, home: Path
):
    for _ in range(2):
        scripted.script("POST", "/api/chat",
                        Reply((chat_line("340 "), chat_line("people")), then=ending))  # fmt: skip
    words = ("ask", "How large is the staff?", "--model", "m", "--ollama", scripted.url)
    run = call(home, *words, "--json")
    value = json.loads(run.stdout)
    assert (run.exit_code, value["answer"], value["complete"]) == (1, "340 people", False)
    assert value["error"]["title"] == "Ollama's answer was cut off."
    run = call(home, *words)
    assert (run.exit_code, run.stdout) == (1, "340 people\n")
    assert "Error: Ollama's answer was cut off.\n" in run.stderr


def test_f14_a_model_that_is_not_there_is_named(scripted: ScriptedOllama, home: Path):
    run = call(home, "ask", "Who?", "--model", "gone", "--ollama", scripted.url, "--json")
    assert run.exit_code == 1
    assert json.loads(run.stdout)["error"]["title"] == "Ollama has no model named 'gone'."


def test_s8_a_model_of_a_cloud_gets_no_document_before_it_is_allowed(
    scripted: ScriptedOllama, home: Path
):
    shown = {"remote_host": "https://ollama.com:443", "remote_model": "big", "modelfile": ""}
    words = ("ask", "How large is the staff?", "--model", "big:cloud", "--ollama", scripted.url)
    scripted.script("POST", "/api/show", Reply((shown,)))
    run = call(home, *words, "--json")
    error = json.loads(run.stdout)["error"]
    assert (run.exit_code, error["title"]) == (
        1, "Documents would leave this machine for ollama.com:443.",
    )  # fmt: skip
    assert scripted.seen("POST", "/api/chat") == []
    for allowing in (["--allow-host", "ollama.com:443"], []):  # once: then it is remembered
        scripted.script("POST", "/api/show", Reply((shown,)), Reply((shown,)))
        answers(scripted, "340 people [1].")
        run = call(home, *words, *allowing)
        assert run.exit_code == 0, run.output
        assert run.stdout.startswith("340 people [1].")


@pytest.mark.parametrize(
    ("words", "title"),
    [
        (["ask", "  ", "--model", "m"], "The question is empty."),
        (["ask", "Who?", "--model", "m", "--library", "none"], 'There is no library "none".'),
        (["ask", "Who?", "--model", "m", "--file", "qq"], 'The library has no document "qq".'),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(
    words: list[str], title: str, scripted: ScriptedOllama, home: Path
):
    run = call(home, *words, "--ollama", scripted.url, "--json")
    assert (run.exit_code, json.loads(run.stdout)["error"]["title"]) == (1, title)
    assert scripted.seen("POST", "/api/chat") == []


def test_a_question_of_a_megabyte_is_refused_and_nothing_is_cut(
    scripted: ScriptedOllama, home: Path
):
    run = call(home, "ask", "staff " * 180_000, "--model", "m", "--ollama", scripted.url, "--json")
    error = json.loads(run.stdout)["error"]
    assert (run.exit_code, error["title"]) == (
        1, "The message does not fit into the model's context.",
    )  # fmt: skip
    assert "Nothing was cut or sent." in error["detail"]


def test_control_c_keeps_what_came_and_ends_with_exit_code_3(
    scripted: ScriptedOllama, home: Path
):
    slow = Reply(tuple(chat_line(f"word{n} ") for n in range(200)), pause_s=0.05)
    scripted.script("POST", "/api/chat", slow)
    words = ("ask", "How large is the staff?", "--model", "m", "--ollama", scripted.url, "--json")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "desktop", *words, "--home", str(home)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not scripted.seen("POST", "/api/chat") and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    value = json.loads(process.communicate(timeout=10)[0])
    assert (process.returncode, value["complete"], value["reason"]) == (3, False, "stopped")
    assert value["answer"].startswith("word0 word1")


def test_asking_leaves_no_conversation(scripted: ScriptedOllama, home: Path):
    answers(scripted, "340 people [1].")
    call(home, "ask", "How large is the staff?", "--model", "m", "--ollama", scripted.url)
    assert json.loads(call(home, "chats", "--json").stdout) == []


def test_an_answer_cannot_steer_the_terminal(scripted: ScriptedOllama, home: Path):
    answers(scripted, "340 \x1b]0;owned\x07people \x1b[2J[1].")
    run = call(home, "ask", "How large is the staff?", "--model", "m", "--ollama", scripted.url)
    assert run.stdout.startswith("340 \ufffd]0;owned\ufffdpeople \ufffd[2J[1].")
    assert "\x1b" not in run.output
