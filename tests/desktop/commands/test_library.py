"""`tunedesk library` as scripts use it: words, JSON keys, exit codes; and its jobs."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from desktop.cli import build_app
from desktop.commands import library_adding
from desktop.documents.additions import Additions
from desktop.documents.backup import DATABASE, LOCK
from desktop.documents.file_names import as_address, key_of
from desktop.documents.found_files import FoundFile
from desktop.documents.library import Library
from desktop.documents.shelf import place_for
from desktop.jobs.folder import create_job
from desktop.jobs.launcher import start
from desktop.jobs.spec import IndexJob
from desktop.jobs.store import job_line
from tests.converters.documents.encryption import encrypted
from tests.converters.documents.tiny_pdf import document, line
from tests.desktop.commands.terminal import Terminal, terminal

ADD_KEYS = {"files", "pages", "indexed", "skipped", "pages_without_text", "seconds"}
HIT_KEYS = {"file", "page", "score", "text", "rects", "by"}


@pytest.fixture
def call(tmp_path):
    app = build_app(["library", "jobs"])

    def run(*words: str, stdin: str | None = None):
        words = (*words, "--home", str(tmp_path / "home"))
        return CliRunner().invoke(app, list(words), input=stdin)

    return run


@pytest.fixture
def papers(tmp_path):
    folder = tmp_path / "papers"
    folder.mkdir()
    pages = ["The owl hunts at night.", "It eats mice."]
    (folder / "owl.pdf").write_bytes(document([line(50, 700, text) for text in pages]))
    (folder / "acme.txt").write_text("Acme annual report\n\fNet sales 342 310\n")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing follows")
    return folder


def test_add_tells_what_was_read_and_what_was_set_aside(call, papers):
    added = call("library", "add", str(papers), "--library", "papers", "--json")
    assert added.exit_code == 0
    value = json.loads(added.stdout)
    assert value.keys() >= ADD_KEYS
    assert (value["files"], value["indexed"], value["pages"]) == (3, 2, 4)
    (skipped,) = value["skipped"]
    assert skipped["file"] == "broken.pdf"
    assert skipped["reason"]
    again = call("library", "add", str(papers), "--library", "papers")
    assert '"papers": 3 files found, 0 read' in again.output
    assert "\n1 file was set aside:\n  broken.pdf: " in again.output


def test_search_tells_passages_and_where_it_looked(call, papers):
    call("library", "add", str(papers), "--library", "papers")
    found = call("library", "search", "net sales of Acme", "--library", "papers", "--json")
    hits = json.loads(found.stdout)
    assert hits[0].keys() >= HIT_KEYS
    assert (hits[0]["file"], hits[0]["page"], hits[0]["rects"]) == ("acme.txt", 2, [])
    assert "Searched in: acme.txt" in found.stderr
    owl = json.loads(call("library", "search", "owl", "-k", "1", "--json").stdout)
    (rect,) = owl[0]["rects"]
    assert len(rect) == 4
    assert rect[0] == pytest.approx(50, abs=1)
    pinned = call("library", "search", "mice", "--file", "owl")
    assert pinned.stdout.startswith("Searched in: owl.pdf.\n\nowl.pdf, page 2")
    nothing = call("library", "search", "zebra")
    assert nothing.exit_code == 0
    assert nothing.stdout == (
        "Searched in all 2 documents with text. Nothing was found. "
        "No word of the question is in them: zebra.\n"
    )
    silent = call("library", "search", "zebra", "--file", "owl", "--json")
    assert silent.stderr.endswith(
        "Searched in: owl.pdf. Nothing was found. No word of the question is in it: zebra.\n"
    )


def test_many_questions_give_a_list_of_lists(call, papers, tmp_path):
    call("library", "add", str(papers))
    batch = tmp_path / "questions.jsonl"
    batch.write_text('{"q": "net sales"}\n{"q": "mice", "file": "owl.pdf"}\n{"q": "zebra"}\n')
    asked = call("library", "search", "--batch", str(batch), "--json")
    assert asked.stderr.splitlines()[-3:] == [
        "1. Searched in: acme.txt, owl.pdf.", "2. Searched in: owl.pdf.",
        "3. Searched in all 2 documents with text. Nothing was found. "
        "No word of the question is in them: zebra.",
    ]  # fmt: skip
    answers = json.loads(asked.stdout)
    assert [[hit["file"] for hit in answer[:1]] for answer in answers] == [
        ["acme.txt"], ["owl.pdf"], []
    ]
    batch.write_text('{"q": "net sales"}\n{"question": "mice"}\n')
    refused = call("library", "search", "--batch", str(batch), "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"]["detail"].startswith("Line 2 of ")
    batch.write_text('{"q": "net sales"}\n\n{"q": "mice", "file": "zebra"}\n')
    unknown = json.loads(call("library", "search", "--batch", str(batch), "--json").stdout)
    assert unknown["error"]["title"] == 'The library has no document "zebra".'
    assert unknown["error"]["detail"].startswith(f"Line 3 of {batch}: It holds ")


@pytest.mark.parametrize(
    "words", [
        ["search"], ["search", " "], ["search", "x", "--batch", "y"], ["remove"],
        ["add", "x", "-L", ""], ["watch", "x", "-L", ""], ["search", "x", "--library", ""],
        ["remove", "--all", "-L", ""], ["list", "-L", ""], ["status", "-L", ""],
    ]
)
def test_wrong_usage_is_2(call, papers, words):
    call("library", "add", str(papers))
    assert call("library", *words).exit_code == 2


def test_libraries_and_files_are_listed_and_removed(call, papers):
    assert "There is no library yet." in call("library").output
    call("library", "add", str(papers), "--library", "papers")
    call("library", "add", str(papers / "acme.txt"), "--library", "Büro 2")
    listed = json.loads(call("library", "list", "--json").stdout)
    assert [(one["library"], one["files"], one["pages"]) for one in listed] == [
        ("Büro 2", 1, 2), ("papers", 3, 4)
    ]
    files = json.loads(call("library", "list", "--library", "papers", "--json").stdout)
    assert [(file["file"], file["state"]) for file in files] == [
        ("acme.txt", "indexed"), ("broken.pdf", "set aside"), ("owl.pdf", "indexed")
    ]
    unclear = call("library", "search", "owl", "--json")
    assert json.loads(unclear.stdout)["error"]["title"] == "There are several libraries."
    removed = call("library", "remove", "owl.pdf", "--library", "papers", "--json")
    assert json.loads(removed.stdout)["removed"] == [str(papers / "owl.pdf")]
    for number in range(14):
        (papers / f"{number}.txt").write_text(f"note {number}")
    call("library", "add", str(papers), "--library", "notes")
    many = call("library", "remove", str(papers), "--library", "notes").stdout
    assert many.startswith(f'Removed 17 files from "notes": {papers}/')
    assert many.endswith(" and 5 more\n")
    call("library", "remove", "--all", "--library", "notes")
    assert json.loads(call("library", "search", "owl", "-L", "papers", "--json").stdout) == []
    assert (papers / "owl.pdf").exists()
    call("library", "remove", "--all", "--library", "papers")
    assert [one["library"] for one in json.loads(call("library", "--json").stdout)] == ["Büro 2"]


def test_status_tells_what_is_not_complete(call, papers):
    call("library", "add", str(papers), "--library", "papers")
    (papers / "owl.pdf").unlink()
    status = json.loads(call("library", "status", "--json").stdout)
    assert (status["pages_indexed"], status["pages"], status["indexing"]) == (4, 4, False)
    assert [one["file"] for one in status["skipped"]] == ["broken.pdf"]
    assert status["gone"] == [str(papers / "owl.pdf")]
    shown = call("library", "status").output
    assert "papers: 3 files, 4 of 4 pages indexed" in shown
    assert "Not at their place any more" in shown


def test_f25_a_password_comes_from_standard_input_and_stays_nowhere(call, papers, tmp_path):
    content = line(50, 700, "A secret owl.")
    (papers / "secret.pdf").write_bytes(encrypted(content, 4, "correct horse", "owner"))
    asked = call("library", "add", str(papers), "--json")
    reasons = {one["file"]: one["reason"] for one in json.loads(asked.stdout)["skipped"]}
    assert "password" in reasons["secret.pdf"]
    added = call("library", "add", str(papers), "--password-stdin", "--json",
                 stdin="correct horse\n")  # fmt: skip
    value = json.loads(added.stdout)
    assert (value["indexed"], value["pages"]) == (1, 5)
    assert [one["file"] for one in value["skipped"]] == ["broken.pdf"]
    assert json.loads(call("library", "search", "secret", "--json").stdout)
    for path in (tmp_path / "home").rglob("*"):
        assert not path.is_file() or b"correct horse" not in path.read_bytes(), path


def test_figures_of_a_newer_library_are_unknown_and_of_an_empty_one_0(call, papers, tmp_path):
    call("library", "add", str(papers), "--library", "papers")
    with closing(sqlite3.connect(tmp_path / "home/libraries/papers" / DATABASE)) as base:
        base.execute("PRAGMA user_version = 99")
    (newer,) = json.loads(call("library", "list", "--json").stdout)
    unknown = ("files", "documents", "pages", "pages_indexed", "pages_without_text", "waiting")
    assert [newer[key] for key in unknown] == [None] * len(unknown)
    problem = "The library was made by a newer version of the program."
    assert newer["problem"].startswith(problem)
    assert call("library", "list").stdout.startswith(f"papers: {problem}")
    place_for(tmp_path / "home/libraries", "empty")
    empty = json.loads(call("library", "list", "--json").stdout)[0]
    assert (empty["files"], empty["problem"][:21]) == (0, "The library is empty.")


def test_files_that_wait_are_told_instead_of_a_total_that_is_not_known(call, papers, tmp_path):
    call("library", "add", str(papers), "--library", "papers")
    with Library(tmp_path / "home/libraries/papers", may_write=True) as library:
        Additions(library).register([FoundFile(b"/papers/later.pdf", 1, 1)])
    told = "papers: 4 files, 4 pages indexed, 1 file not read yet"
    assert call("library", "list").stdout == f"{told}\n"
    assert call("library", "status").stdout.startswith(f"{told}, ")
    assert "later.pdf: waiting, not read yet\n" in call("library", "list", "-L", "papers").stdout


def test_hidden_files_are_counted_and_an_empty_folder_is_told_what_is_read(call, tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    empty = call("library", "add", str(folder)).stdout
    assert '"documents": 0 files found' in empty
    assert "PDF, text, Markdown and CSV files are read." in empty
    for name in (".a.txt", ".b.txt", "note.txt"):
        (folder / name).write_text(f"A note: {name}\n")
    assert json.loads(call("library", "add", str(folder), "--json").stdout)["hidden_files"] == 2
    both = call("library", "add", str(folder), str(folder / ".a.txt")).stdout
    assert "1 hidden file was left out; a file that is named by itself is added." in both
    assert "2 files found, 1 read" in both


@pytest.mark.parametrize(("pages", "told"), [
    (["The owl hunts."], "The only page has text and can be searched."),
    ([""], "The only page has no text and cannot be searched."),
    (["The owl hunts.", ""], "1 of its 2 pages has text and can be searched."),
])
def test_single_things_are_told_in_the_singular(pages, told, call, tmp_path):
    content = [line(50, 700, text) if text else "" for text in pages]
    (tmp_path / "owl.pdf").write_bytes(document(content))
    added = call("library", "add", str(tmp_path / "owl.pdf")).stdout
    assert ": 1 file found, 1 read" in added
    assert told in added
    assert "documents: 1 file, " in call("library", "list").stdout


def _ctrl_d(here: Terminal) -> None:
    here.type("\x04")


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.pdf"
    path.write_bytes(encrypted(line(50, 700, "A secret owl."), 4, "correct horse", "owner"))
    return path


def test_a_wrong_password_is_told_by_the_run_that_tried_it_alone(call, secret):
    tried = call("library", "add", str(secret), "--password-stdin", stdin="wrong\n")
    assert "secret.pdf: The password is wrong." in tried.stdout
    later = call("library", "add", str(secret)).stdout
    assert "secret.pdf: The PDF is encrypted." in later
    assert "Give the password of encrypted documents with --password-stdin." in later
    assert "secret.pdf: The PDF is encrypted." in call("library", "status").stdout


@pytest.mark.parametrize(("leave", "code"), [(Terminal.interrupt, 3), (_ctrl_d, 0)])
def test_ctrl_c_at_a_password_prompt_keeps_the_account(leave, code, secret, tmp_path):
    (tmp_path / "owl.txt").write_text("The owl hunts at night.\n")
    words = ("library", "add", str(secret), str(tmp_path / "owl.txt"), "--json")
    printed = tmp_path / "printed.json"
    with terminal(*words, "--home", str(tmp_path / "home"), output=printed) as here:
        here.read_until("leaves it out): ")
        here.type("wrong\n")
        assert "This is not the password of secret.pdf." in here.read_until("leaves it out): ")
        leave(here)
        assert here.process.wait(timeout=60) == code
    value = json.loads(printed.read_text())
    assert (value["files"], value["indexed"]) == (2, 1)
    assert value["skipped"][0]["reason"].startswith("The password is wrong.")


def test_f35_a_damaged_library_answers_from_its_backup_and_says_so(call, papers, tmp_path):
    call("library", "add", str(papers), "--library", "papers")
    file = tmp_path / "home" / "libraries" / "papers" / DATABASE
    file.write_bytes(b"\0" * 100 + file.read_bytes()[100:])
    found = call("library", "search", "owl", "--json")
    assert json.loads(found.stdout)[0]["file"] == "owl.pdf"
    assert "The library was damaged; its backup of " in found.stderr
    assert "damaged-1.sqlite" in found.stderr
    assert "was damaged" not in call("library", "search", "owl", "--json").stderr


def test_f35_a_newer_library_is_refused(call, papers, tmp_path):
    call("library", "add", str(papers), "--library", "papers")
    with sqlite3.connect(tmp_path / "home" / "libraries" / "papers" / DATABASE) as base:
        base.execute("PRAGMA user_version = 99")
    base.close()
    for words in (["search", "owl"], ["add", str(papers), "--library", "papers"], ["status"]):
        refused = call("library", *words, "--json")
        assert refused.exit_code == 1
        error = json.loads(refused.stdout)["error"]
        assert error["title"] == "The library was made by a newer version of the program."


def test_what_is_being_added_to_is_not_removed(call, papers, tmp_path):
    call("library", "add", str(papers), "--library", "papers")
    with FileLock(tmp_path / "home" / "libraries" / "papers" / LOCK):
        for words in (["remove", "owl.pdf"], ["remove", "--all"]):
            refused = json.loads(call("library", *words, "--json").stdout)
            assert refused["error"]["title"] == "Documents are being added to this library."
        assert json.loads(call("library", "status", "--json").stdout)["indexing"]


def test_a_path_that_is_not_there_makes_nothing(call, tmp_path):
    refused = call("library", "add", str(tmp_path / "nowhere"), "--json")
    assert json.loads(refused.stdout)["error"]["title"] == "A file or folder was not found."
    assert json.loads(call("jobs", "--json").stdout) == []


def test_an_index_job_is_listed_shown_stopped_and_goes_on(call, tmp_path):
    book = tmp_path / "book.pdf"
    book.write_bytes(document([line(50, 700, f"owl {n}") for n in range(1, 4001)]))
    folder = tmp_path / "home" / "libraries" / "books"
    job = IndexJob(library="books", folder=folder, paths=(as_address(key_of(book)),))
    made = create_job(tmp_path / "home" / "jobs", "books", job)
    process = start(made, "index")
    while not job_line(made).step and process.poll() is None:
        time.sleep(0.02)
    (shown,) = json.loads(call("jobs", "list", "--json").stdout)
    assert (shown["kind"], shown["model"], shown["status"]) == ("index", "books", "running")
    assert not made.ticket.exists()  # it waits for no graphics card
    asked = time.monotonic()
    assert json.loads(call("jobs", "stop", made.id, "--json").stdout)["how"] == "stopped by itself"
    assert time.monotonic() - asked < 2
    assert process.wait() == 3
    kept = json.loads(call("library", "status", "--json").stdout)
    assert 0 < kept["pages_indexed"] < kept["pages"] == 4000
    resumed = call("jobs", "resume", made.id, "--json")
    assert resumed.exit_code == 0
    assert json.loads(resumed.stdout)["pages"] == 4000
    shown = call("jobs", "show", made.id).output
    assert "4,000 of its 4,000 pages have text and can be searched." in shown


def test_watching_adds_what_comes_new(call, papers, monkeypatch):
    rounds = []

    def sleep(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 1:
            (papers / "new.txt").write_text("A new zebra.\n")
        if len(rounds) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(library_adding.time, "sleep", sleep)
    ended = call("library", "watch", str(papers), "--library", "papers", "--json")
    assert json.loads(ended.stdout) == {"library": "papers", "additions": 2}
    monkeypatch.undo()
    assert json.loads(call("library", "search", "zebra", "--json").stdout)[0]["file"] == "new.txt"


def test_a_search_loads_neither_torch_nor_the_parser():
    code = (
        "import sys; from desktop.cli import build_app; build_app(['library']);"
        "import desktop.commands.library_search;"
        "print(' '.join(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    loaded = set(run.stdout.split())
    assert not loaded & {"torch", "PySide6", "pypdfium2", "httpx", "llama_cpp"}


@pytest.mark.parametrize("lost", ["missing", "empty", "years"])
def test_f35_a_library_that_lost_its_file_or_text_gets_its_backup_back(
    lost: str, call, papers, tmp_path
):
    call("library", "add", str(papers), "--library", "papers")
    path = tmp_path / "home" / "libraries" / "papers" / DATABASE
    for helper in ("-wal", "-shm"):
        path.with_name(path.name + helper).unlink(missing_ok=True)
    if lost == "years":
        with closing(sqlite3.connect(path)) as base, base:
            base.execute("UPDATE documents SET years = CAST(x'ff41' AS TEXT)")
    elif lost == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    found = call("library", "search", "owl", "--library", "papers")
    assert found.exit_code == 0, found.output
    assert "The library was damaged; its backup of " in found.output
    assert "owl.pdf, page 1" in found.output
    call("library", "add", str(papers), "--library", "papers")
    assert "owl.pdf, page 1" in call("library", "search", "owl", "--library", "papers").output


def test_a_path_that_is_not_there_leaves_no_library_behind(call, tmp_path):
    for word in ("add", "watch"):
        run = call("library", word, str(tmp_path / "nope"), "--json")
        assert run.exit_code == 1
        assert "Nothing was added" in json.loads(run.stdout)["error"]["detail"] + run.stdout
    assert json.loads(call("library", "list", "--json").stdout) == []


def test_without_a_name_the_only_library_is_added_to(call, papers, tmp_path):
    call("library", "add", str(papers / "acme.txt"), "--library", "mine")
    call("library", "add", str(papers / "owl.pdf"))
    (only,) = json.loads(call("library", "list", "--json").stdout)
    assert (only["library"], only["files"]) == ("mine", 2)


def test_options_that_would_do_nothing_are_wrong_usage(call, papers):
    words = ("--password-stdin", "--detach")
    assert call("library", "add", str(papers), *words, stdin="secret\n").exit_code == 2
    call("library", "add", str(papers))
    assert call("library", "search", "owl", "--allow-host", "a.org").exit_code == 2


def test_json_of_hostile_text_steers_no_terminal_and_says_the_same(call, papers):
    text = "red \x9b31m owl \u202eetanimod\n"
    (papers / "evil.txt").write_text(text)
    call("library", "add", str(papers / "evil.txt"))
    printed = call("library", "search", "owl", "--json").stdout
    assert not set(printed) & {"\x9b", "\u202e"}
    assert "\\u009b31m" in printed
    assert json.loads(printed)[0]["text"] == text.strip()


def test_two_copies_of_a_file_are_told_by_one_name_and_its_path(call, papers, tmp_path):
    copy = tmp_path / "a_first"
    copy.mkdir()
    (copy / "zebra.pdf").write_bytes((papers / "owl.pdf").read_bytes())
    call("library", "add", str(papers), str(copy), "--library", "papers")
    hit = json.loads(call("library", "search", "owl", "-k", "1", "--json").stdout)[0]
    assert Path(hit["path"]).name == hit["file"]


def test_each_page_without_text_or_with_hidden_text_is_named(call, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    pages = [line(50, 700, "The owl hunts."), "", line(50, 700, "It eats mice."), ""]
    (folder / "owl.pdf").write_bytes(document(pages))
    call("library", "add", str(folder), "--library", "mixed")
    (file,) = json.loads(call("library", "list", "--library", "mixed", "--json").stdout)
    assert file["odd_pages"] == [
        {"page": 2, "verdict": "empty", "hidden": 0}, {"page": 4, "verdict": "empty", "hidden": 0},
    ]  # fmt: skip
    assert "Pages 2, 4: empty." in call("library", "list", "--library", "mixed").output
    assert "Pages 2, 4: empty." in call("library", "status", "--library", "mixed").output


def test_how_many_documents_were_not_looked_into_is_said(call, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(90):
        (folder / f"report{n}.txt").write_text(f"The owl number {n} hunts at night.\n")
    call("library", "add", str(folder), "--library", "many")
    found = call("library", "search", "owl", "--library", "many").output
    assert " of 90 documents that fit best)" in found
