"""`tunedesk chat` and `tunedesk chats`: a conversation line by line, and what is kept of it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.desktop.commands.terminal import terminal
from tests.desktop.commands.test_ask import MODEL, answers, call, home, scripted
from tests.servers.scripted_ollama import Reply, ScriptedOllama, chat_line

__all__ = ["home", "scripted"]  # fixtures


def talk(server: ScriptedOllama, folder: Path, text: str, *words: str):
    return call(folder, "chat", *words, "--ollama", server.url, stdin=text)


def test_a_conversation_keeps_its_history_and_can_go_on(scripted: ScriptedOllama, home: Path):
    answers(scripted, "Hello Ann.")
    answers(scripted, "You are Ann.")
    run = talk(scripted, home, "I am Ann.\nWho am I?\n", "m")
    assert run.exit_code == 0, run.output
    assert "Hello Ann." in run.stdout
    assert "You are Ann." in run.stdout
    second = scripted.seen("POST", "/api/chat")[-1].json["messages"]
    assert [one["content"] for one in second] == ["I am Ann.", "Hello Ann.", "Who am I?"]
    (kept,) = json.loads(call(home, "chats", "--json").stdout)
    assert (kept["title"], kept["questions"], kept["model"]) == ("I am Ann.", 2, "m")
    answers(scripted, "Good bye.")
    run = talk(scripted, home, "Bye!\n", "--continue", str(kept["conversation"]), "--json")
    value = json.loads(run.stdout)
    assert value["conversation"] == kept["conversation"]
    assert [one["answer"] for one in value["turns"]] == ["Good bye."]
    third = scripted.seen("POST", "/api/chat")[-1].json["messages"]
    assert "2 questions so far. The last words:\n  You: Who am I?\n  m: You are Ann." in run.stderr
    assert [one["content"] for one in third[:4]] == [
        "I am Ann.", "Hello Ann.", "Who am I?", "You are Ann.",
    ]  # fmt: skip


def test_once_takes_a_window_and_prints_the_keys_of_both(scripted: ScriptedOllama, home: Path):
    for _ in range(2):
        answers(scripted, "Two.")
    plain, wide = (
        json.loads(call(home, "chat", "m", "--once", "One and one?", *more, "--ollama",
                        scripted.url, "--json").stdout)
        for more in ((), ("--window", "512"))
    )  # fmt: skip
    assert wide["budget"]["window"] == 512
    keys = {"answer", "stop_reason", "prompt_tokens", "answer_tokens", "seconds"}
    assert plain.keys() == keys
    assert keys < wide.keys()
    assert {key: wide[key] for key in keys - {"seconds"}} == {
        key: plain[key] for key in keys - {"seconds"}
    }
    assert scripted.seen("POST", "/api/chat")[-1].json["options"]["num_ctx"] == 512
    too_long = call(home, "chat", "m", "--once", "word " * 9_000, "--window", "512", "--ollama",
                    scripted.url, "--json")  # fmt: skip
    assert json.loads(too_long.stdout)["error"]["title"] == (
        "The message does not fit into the model's context."
    )


def test_a_follow_up_is_understood_and_earlier_turns_stay_as_they_were_sent(
    scripted: ScriptedOllama, home: Path
):
    answers(scripted, "It was 12.5 million francs [1].")
    answers(scripted, "What was the staff of Acme in 2020?")  # the follow-up, completed
    answers(scripted, "340 people [2].")
    lines = "How large was the interest expense of Acme in 2020?\nAnd its staff?\n"
    run = talk(scripted, home, lines, "m", "--library", "papers", "--json")
    first, second = json.loads(run.stdout)["turns"]
    assert second["citations"][0]["page"] == 3
    assert second["budget"]["history"] > 0
    assert second["budget"]["shared_tokens"] > 0
    requests = [r.json["messages"] for r in scripted.seen("POST", "/api/chat")]
    assert requests[2][: len(requests[0])] == requests[0]
    assert {r.json["options"]["num_ctx"] for r in scripted.seen("POST", "/api/chat")} == {8192}
    assert "Searched for: What was the staff of Acme in 2020?" in talk_text(scripted, home)
    assert first["found"]


def talk_text(server: ScriptedOllama, folder: Path) -> str:
    """The second half of the talk before as a person reads it."""
    answers(server, "12.5 million [1].")
    answers(server, "What was the staff of Acme in 2020?")
    answers(server, "340 people [2].")
    lines = "How large was the interest expense of Acme in 2020?\nAnd its staff?\n"
    return talk(server, folder, lines, "m", "--library", "papers").output


def test_words_with_a_slash_answer_again_edit_rate_and_correct(
    scripted: ScriptedOllama, home: Path
):
    for text in ("One.", "Uno.", "Two."):
        answers(scripted, text)
    lines = 'Say one\n/again\n/good\n/edit Say two\n/correct Deux.\n/title Numbers\n/wrong\n/help\n'
    run = talk(scripted, home, lines, "m")
    assert [text for text in ("One.", "Uno.", "Two.") if text in run.stdout] == [
        "One.", "Uno.", "Two.",
    ]  # fmt: skip
    assert "Error: /wrong is not known." in run.stderr
    assert "/correct TEXT" in run.stdout
    assert run.exit_code == 1  # a script must see that a line was not understood
    rows = home.parent / "rows.jsonl"
    written = call(home, "chat", "--export-rows", str(rows), "--json")
    assert json.loads(written.stdout)["rows"] == 2
    made = [json.loads(line)["messages"] for line in rows.read_text().splitlines()]
    assert [[turn["content"] for turn in row] for row in made] == [
        ["Say one", "Uno."], ["Say two", "Deux."],
    ]  # fmt: skip
    assert json.loads(call(home, "chats", "--json").stdout)[0]["title"] == "Numbers"


@pytest.mark.parametrize(
    ("lines", "question"),
    [
        ('"""First line\nsecond line"""\n', "First line\nsecond line"),
        ('"""\nFirst\n""" and more\n', "First\n and more"),
        ('"""/etc/passwd is what?"""\n', "/etc/passwd is what?"),
        (" /etc/passwd is what?\n", "/etc/passwd is what?"),
    ],
)
def test_lines_between_quotes_are_one_question_and_never_a_word(
    lines: str, question: str, scripted: ScriptedOllama, home: Path
):
    answers(scripted, "Yes.")
    talk(scripted, home, lines, "m")
    (asked,) = scripted.seen("POST", "/api/chat")[-1].json["messages"]
    assert asked["content"] == question


def test_each_question_has_its_entry_in_the_json_a_failed_one_too(
    scripted: ScriptedOllama, home: Path
):
    scripted.script("POST", "/api/chat", Reply((chat_line("Half"),), then="reset"))
    answers(scripted, "Whole.")
    long = "word " * 20_000
    run = talk(scripted, home, f"Tell me\n{long}\nAgain\n", "m", "--json")
    first, second, third = json.loads(run.stdout)["turns"]
    assert (run.exit_code, first["answer"], first["complete"]) == (1, "Half", False)
    assert first["error"]["title"] == "Ollama's answer was cut off."
    assert second["error"]["title"] == "The message does not fit into the model's context."
    assert (third["question"], third["answer"], third["complete"]) == ("Again", "Whole.", True)


def test_ratings_say_what_becomes_of_them(scripted: ScriptedOllama, home: Path):
    answers(scripted, "Yes.")
    scripted.script("POST", "/api/chat", Reply((chat_line("Half"),), then="reset"))
    run = talk(scripted, home, "/good\nOne\n/bad\nTwo\n/good\n/again now\n", "m")
    assert "Error: There is no answer to rate." in run.stderr
    assert "makes a training row once /correct TEXT says what is right." in run.stderr
    assert "Error: Half an answer cannot be a good one." in run.stderr
    assert "Error: /again takes no text." in run.stderr
    rows = call(home, "chat", "--export-rows", str(home / "r.jsonl"), "--json")
    assert json.loads(rows.stdout)["error"]["title"] == "No answer was rated or corrected yet."


@pytest.mark.parametrize(
    "words",
    [
        ("m", "--continue", "1", "--library", "papers"), ("--continue", "1", "--window", "512"),
        ("m", "--export-rows", "r.jsonl"), ("m", "--once", "Hi", "--continue", "1"), (),
    ],
)  # fmt: skip
def test_options_that_would_do_nothing_are_wrong_usage(words: tuple[str, ...], home: Path):
    assert call(home, "chat", *words).exit_code == 2


def test_a_conversation_goes_on_with_another_model(scripted: ScriptedOllama, home: Path):
    scripted.models["other:latest"] = MODEL
    answers(scripted, "Hello.")
    talk(scripted, home, "Hi\n", "m")
    answers(scripted, "Still here.")
    run = talk(scripted, home, "And now?\n", "other", "--continue", "1")
    assert (run.exit_code, "Still here." in run.stdout) == (0, True)
    last = scripted.seen("POST", "/api/chat")[-1].json
    assert (last["model"], len(last["messages"])) == ("other", 3)


def test_exports_touch_no_file_that_is_there(scripted: ScriptedOllama, home: Path):
    answers(scripted, "Hello.")
    talk(scripted, home, "Hi\n/good\n", "m")
    mine = home / "mine.md"
    mine.write_text("mine")
    for words in (("chats", "export", "1", "-o"), ("chat", "--export-rows")):
        run = call(home, *words, str(mine), "--json")
        assert json.loads(run.stdout)["error"]["title"] == f"{mine} is there already."
    assert mine.read_text() == "mine"
    run = call(home, "chats", "export", "1", "-o", str(home / "no" / "x.md"), "--json")
    assert json.loads(run.stdout)["error"]["title"] == f"There is no folder {home / 'no'}."


def test_kept_conversations_are_found_shown_renamed_exported_and_deleted(
    scripted: ScriptedOllama, home: Path
):
    answers(scripted, "It was 12.5 million [1].")
    talk(scripted, home, "Interest expense in 2020?\n", "m", "--library", "papers")
    assert "1  Interest expense in 2020?" in call(home, "chats", "find", "12.5").stdout
    shown = call(home, "chats", "show", "1").stdout
    assert shown.startswith("# Interest expense in 2020?")
    assert "- [1] acme.pdf, page 2" in shown
    assert 'called "Acme"' in call(home, "chats", "rename", "1", "Acme").stdout
    for name, begins in (("a.md", "# Acme"), ("a.jsonl", '{"conversation": 1')):
        path = home.parent / name
        call(home, "chats", "export", "1", "-o", str(path))
        assert path.read_text().startswith(begins)
    gone = call(home, "chats", "delete", "1")
    assert gone.stdout.startswith('Deleted conversation 1, "Acme" (m, 1 question, ')
    missing = call(home, "chats", "show", "1", "--json")
    assert json.loads(missing.stdout)["error"]["hint"].startswith("`tunedesk chats` shows")


def test_an_answer_that_breaks_off_is_kept_and_the_talk_goes_on(
    scripted: ScriptedOllama, home: Path
):
    scripted.script("POST", "/api/chat", Reply((chat_line("Half"),), then="reset"))
    answers(scripted, "Whole.")
    run = talk(scripted, home, "Tell me\nAgain please\n", "m")
    assert (run.exit_code, "Half" in run.stdout, "Whole." in run.stdout) == (1, True, True)
    assert "Error: Ollama's answer was cut off." in run.stderr
    assert "What came of the answer is kept, marked as incomplete; /again asks" in run.stderr
    shown = call(home, "chats", "show", "1").stdout
    assert "## m (incomplete: Ollama's answer was cut off)" in shown


def test_a_talk_without_a_question_leaves_nothing(scripted: ScriptedOllama, home: Path):
    assert talk(scripted, home, "", "m").exit_code == 0
    assert json.loads(call(home, "chats", "--json").stdout) == []


def test_f30_in_a_home_that_cannot_be_written_one_talks_and_is_told(
    scripted: ScriptedOllama, tmp_path: Path
):
    answers(scripted, "Hello.")
    run = talk(scripted, tmp_path / "file", "Hi\n", "m")
    assert run.exit_code == 0
    (tmp_path / "no").write_text("no folder")
    answers(scripted, "Hello.")
    run = talk(scripted, tmp_path / "no", "Hi\n", "m")
    assert (run.exit_code, "Hello." in run.stdout) == (0, True)
    assert "This conversation is not kept: " in run.stderr


def test_control_c_stops_the_answer_keeps_it_and_the_talk_goes_on(
    scripted: ScriptedOllama, tmp_path: Path
):
    """In a real terminal: the first Ctrl-C stops, /bye leaves."""
    scripted.models["m:latest"] = MODEL
    slow = Reply(tuple(chat_line(f"word{n} ") for n in range(200)), pause_s=0.05)
    scripted.script("POST", "/api/chat", slow)
    home = tmp_path / "home"
    with terminal("chat", "m", "--ollama", scripted.url, "--home", str(home)) as here:
        here.read_until("> ")
        here.type("Tell me a story\n")
        here.read_until("word3 ")
        stopped_at = time.monotonic()
        here.interrupt()
        seen = here.read_until("> ")
        assert time.monotonic() - stopped_at < 1.5
        assert "The answer is incomplete: stopped." in seen
        here.type("/bye\n")
        here.read_until("--continue 1")
        assert here.process.wait(timeout=10) == 0
    shown = call(home, "chats", "show", "1").stdout
    assert "## m (incomplete: stopped)" in shown
    assert "word3" in shown


def test_control_c_at_the_question_of_consent_allows_nothing(
    scripted: ScriptedOllama, home: Path
):
    shown = {"remote_host": "https://ollama.com:443", "remote_model": "big", "modelfile": ""}
    scripted.script("POST", "/api/show", Reply((shown,)))
    words = ("ask", "Who?", "--model", "big:cloud", "--ollama", scripted.url, "--home", str(home))
    with terminal(*words) as here:
        here.read_until("[y/N] ")
        here.interrupt()
        assert here.process.wait(timeout=5) == 3
        here.read_until("Stopped.")
    assert not (home / "settings.json").exists()
    assert scripted.seen("POST", "/api/chat") == []


def test_a_terminal_of_another_encoding_is_no_fault(scripted: ScriptedOllama, tmp_path: Path):
    scripted.models["m:latest"] = MODEL
    for encoding, wanted in (("latin-1", "\\u062d"), ("ascii", "\\u062d"), ("utf-8", "ح")):
        answers(scripted, "ح \ud83d")
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "desktop", "chat", "m", "--once", "ح", "--ollama",
             scripted.url, "--home", str(tmp_path), "--json"],
            capture_output=True, check=False, env=os.environ | {"PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert wanted in ran.stdout.decode(encoding)
        assert json.loads(ran.stdout.decode(encoding))["answer"].startswith("ح")
