"""Conversations in a real SQLite file."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from converters.errors import UserError
from desktop.chat.conversation_file import BACKUP, FILE, keep_copy
from desktop.chat.conversations import Conversations
from desktop.chat.finding import find
from desktop.chat.passages import Passage
from desktop.chat.ratings import rate, rating_of, rows
from desktop.chat.schema import APPLICATION_ID, MIGRATIONS
from desktop.chat.turns import Turn
from desktop.chat.written import as_jsonl, as_markdown
from desktop.core import sqlite_file


def talk(chats: Conversations, conversation: int, question: str, answer: str) -> Turn:
    """One question and its whole answer, behind what is shown."""
    branch = chats.branch(conversation)
    asked = chats.ask(conversation, question, branch[-1].id if branch else None)
    begun = chats.begin_answer(asked.id, [turn.id for turn in branch] + [asked.id])
    return chats.finish(begun.id, answer, sent=answer, prompt_tokens=11, answer_tokens=3)


def texts(chats: Conversations, conversation: int) -> list[str]:
    return [turn.text for turn in chats.branch(conversation)]


@pytest.fixture
def chats(tmp_path: Path):
    with Conversations(tmp_path) as opened:
        yield opened


def test_turns_outlive_the_program(tmp_path: Path):
    with Conversations(tmp_path) as chats:
        made = chats.create("smollm2:135m", 2048, system="Be kind.").id
        talk(chats, made, "What is a  tax?\nTell me.", "A duty.")
    with Conversations(tmp_path) as chats:
        assert texts(chats, made) == ["What is a  tax?\nTell me.", "A duty."]
        assert chats.get(made).title == "What is a tax? Tell me."
        assert chats.get(made).window == 2048


def test_editing_a_question_keeps_the_earlier_text(chats: Conversations):
    made = chats.create("m", 2048).id
    talk(chats, made, "one", "1")
    first = talk(chats, made, "two", "2")
    talk(chats, made, "three", "3")
    question = chats.turn(first.parent or 0)
    edited = chats.ask(made, "zwei", question.parent)
    answer = chats.begin_answer(edited.id, [])
    chats.finish(answer.id, "II", sent="II", prompt_tokens=0, answer_tokens=0)
    assert texts(chats, made) == ["one", "1", "zwei", "II"]
    assert [turn.text for turn in chats.versions(edited.id)] == ["two", "zwei"]
    chats.choose(question.id)
    assert texts(chats, made) == ["one", "1", "two", "2", "three", "3"]


def test_a_second_answer_leaves_the_first_one(chats: Conversations):
    made = chats.create("m", 2048).id
    first = talk(chats, made, "one", "1")
    again = chats.begin_answer(first.parent or 0, [first.parent or 0])
    chats.finish(again.id, "uno", sent="uno", prompt_tokens=0, answer_tokens=0)
    assert texts(chats, made) == ["one", "uno"]
    assert [turn.text for turn in chats.versions(again.id)] == ["1", "uno"]


def test_an_answer_is_partial_until_it_is_finished_and_then_never_changes(chats: Conversations):
    made = chats.create("m", 2048).id
    asked = chats.ask(made, "one", None)
    answer = chats.begin_answer(asked.id, [asked.id])
    chats.keep_partial(answer.id, "the ans", "the ans")
    kept = chats.turn(answer.id)
    assert (kept.text, kept.is_final, kept.reason) == ("the ans", False, "not finished")
    chats.finish(answer.id, "the answer", sent="the answer", prompt_tokens=1, answer_tokens=2)
    chats.keep_partial(answer.id, "late", "late", "stopped")
    kept = chats.turn(answer.id)
    assert (kept.text, kept.is_final, kept.reason) == ("the answer", True, "")


def test_what_follows_an_empty_answer_waits_for_the_disk_again(chats: Conversations):
    asked = chats.ask(chats.create("m", 64).id, "Hi", None)
    for may_fail in (asked.id, asked.id + 99):
        with suppress(UserError):
            chats.begin_answer(may_fail, [])
        assert chats.read("PRAGMA synchronous") == [(2,)]  # FULL


def test_a_killed_program_leaves_its_answer_marked_as_partial(tmp_path: Path):
    code = """
import os, signal, sys
from pathlib import Path
from desktop.chat.conversations import Conversations
chats = Conversations(Path(sys.argv[1]))
made = chats.create("m", 2048)
answer = chats.begin_answer(chats.ask(made.id, "why?", None).id, [])
chats.keep_partial(answer.id, "Because of", "Because of")
os.kill(os.getpid(), signal.SIGKILL)
"""
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    assert run.returncode == -9
    with Conversations(tmp_path) as chats:
        [conversation] = chats.all()
        _, answer = chats.branch(conversation.id)
        assert (answer.text, answer.is_final) == ("Because of", False)


def test_the_context_of_an_answer_is_what_was_sent(chats: Conversations):
    made = chats.create("m", 2048, system="Be kind.").id
    asked = chats.ask(made, "what?", None, sent="<passages>…</passages>\nwhat?")
    answer = chats.begin_answer(asked.id, [asked.id])
    assert chats.context_of(answer.id) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "<passages>…</passages>\nwhat?"},
    ]


def test_passages_come_back_with_their_numbers_and_places(chats: Conversations):
    passage = Passage(n=3, file="a.pdf", path="/a.pdf", page=2, text="x", rects=((1, 2, 3, 4.5),))
    made = chats.create("m", 2048, passages=[passage])
    asked = chats.ask(made.id, "q", None, passages=[passage])
    assert chats.get(made.id).passages == asked.passages == (passage,)


@pytest.mark.parametrize("wanted", ["umsatz", "UMSATZ", "Jahr umsatz", "5 %", "減益", "ü"])
def test_search_finds_all_words_in_any_script(chats: Conversations, wanted: str):
    made = chats.create("m", 2048, title="t").id
    talk(chats, made, "Welcher Umsatz im Jahr?", "Über 5 % mehr")
    talk(chats, made, "Umsatz im Jahr über 5 % 減益", "ja")
    found = find(chats, wanted)
    assert found
    assert found[0].conversation == made
    assert wanted.split()[0].casefold() in found[0].excerpt.casefold()


@pytest.mark.parametrize("wanted", ['"', "um'satz", "% OR", "x" * 5000, "", "NEAR(a b)"])
def test_search_takes_any_text(chats: Conversations, wanted: str):
    talk(chats, chats.create("m", 2048).id, "Umsatz", "5")
    assert find(chats, wanted) == []


def test_a_percent_sign_is_searched_as_itself(chats: Conversations):
    talk(chats, chats.create("m", 2048, title="x").id, "abc", "50% more")
    assert [one.excerpt for one in find(chats, "0%")] == ["50% more"]


def test_partial_text_that_grew_is_found_once(chats: Conversations):
    answer = chats.begin_answer(chats.ask(chats.create("m", 64).id, "q", None).id, [])
    for text in ("elep", "elephant", "elephants"):
        chats.keep_partial(answer.id, text, text)
    assert len(find(chats, "elephants")) == 1


def test_a_title_is_found_and_changed(chats: Conversations):
    made = chats.create("m", 2048).id
    talk(chats, made, "hello", "hi")
    chats.rename(made, " Taxes of 2020 ")
    assert [one.title for one in find(chats, "taxes")] == ["Taxes of 2020"]


def test_a_deleted_conversation_is_nowhere_any_more(tmp_path: Path):
    with Conversations(tmp_path) as chats:
        made, other = chats.create("m", 2048).id, chats.create("m", 2048).id
        rate(chats, talk(chats, made, "secretword", "yes").id, is_good=True)
        talk(chats, other, "kept", "yes")
        keep_copy(chats.connection, chats.path)
        chats.delete(made)
        assert find(chats, "secretword") == []
        assert [one.id for one in chats.all()] == [other]
        with pytest.raises(UserError, match="no conversation"):
            chats.get(made)
    for path in tmp_path.iterdir():
        assert b"secretword" not in path.read_bytes(), path.name


def test_rows_for_tuning_are_corrected_and_good_answers_as_sent(chats: Conversations):
    made = chats.create("m", 2048, system="Be kind.").id
    good = talk(chats, made, "one", "1")
    bad = talk(chats, made, "two", "22")
    wrong = talk(chats, made, "three", "33")
    rate(chats, good.id, is_good=True)
    rate(chats, bad.id, is_good=False)
    rate(chats, wrong.id, is_good=False, correction="3")
    half = chats.begin_answer(chats.ask(made, "four", wrong.id).id, [])
    chats.keep_partial(half.id, "4 is", "4 is")
    rate(chats, half.id, is_good=True)
    made_rows = list(rows(chats))
    assert [row["messages"][-1]["content"] for row in made_rows] == ["1", "3"]
    assert [one["content"] for one in made_rows[1]["messages"]] == [
        "Be kind.", "one", "1", "two", "22", "three", "3",
    ]  # fmt: skip
    # Earlier answers, the bad one among them, are context and are not learnt.
    assert [one.get("weight", 1) for one in made_rows[1]["messages"]] == [1, 1, 0, 1, 0, 1, 1]


def test_the_rows_are_taken_by_the_reader_of_training_data(chats: Conversations, tmp_path: Path):
    from finetune.data.rows import read_rows

    made = chats.create("m", 64).id
    talk(chats, made, "one", "11")
    rate(chats, talk(chats, made, "two", "2").id, is_good=True)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(chats)))
    read = read_rows(path)
    assert (len(read.accepted), len(read.rejected)) == (1, 0)
    assert [turn.is_learnt for turn in read.accepted[0].messages] == [True, False, True, True]


def test_a_second_rating_replaces_the_first_and_a_question_has_none(chats: Conversations):
    answer = talk(chats, chats.create("m", 64).id, "one", "1")
    rate(chats, answer.id, is_good=True)
    rate(chats, answer.id, is_good=False, correction="eins")
    rating = rating_of(chats, answer.id)
    assert rating is not None
    assert (rating.is_good, rating.correction) == (False, "eins")
    with pytest.raises(UserError, match="Only answers"):
        rate(chats, answer.parent or 0, is_good=True)


def test_exports_hold_every_branch_or_the_one_that_is_shown(chats: Conversations):
    made = chats.create("m:1", 2048).id
    first = talk(chats, made, "one", "1")
    again = chats.begin_answer(first.parent or 0, [])
    chats.keep_partial(again.id, "```\ncode", "```\ncode", "stopped")
    lines = [json.loads(line) for line in as_jsonl(chats, made)]
    assert [line.get("text") for line in lines] == [None, "one", "1", "```\ncode"]
    assert [line.get("complete") for line in lines] == [None, True, True, False]
    written = as_markdown(chats, made)
    assert "## m:1 (incomplete: stopped)\n\n```\ncode\n```\n" in written
    assert "\n\n1\n" not in written


def test_text_that_sqlite_cannot_hold_is_kept_readable(chats: Conversations):
    made = chats.create("m", 2048).id
    asked = chats.ask(made, "a\ud800b\0c <|im_end|>", None)
    assert chats.turn(asked.id).text == "a?b\ufffdc <|im_end|>"


def test_questions_follow_answers_only(chats: Conversations):
    made = chats.create("m", 2048).id
    asked = chats.ask(made, "one", None)
    with pytest.raises(ValueError, match="no assistant"):
        chats.ask(made, "two", asked.id)


def test_two_programs_may_write_at_once(tmp_path: Path):
    with Conversations(tmp_path) as one, Conversations(tmp_path) as two:
        talk(one, one.create("m", 64).id, "first", "1")
        talk(two, two.create("m", 64).id, "second", "2")
        assert len(one.all()) == len(two.all()) == 2


def test_a_damaged_file_is_replaced_by_its_copy_and_kept(tmp_path: Path):
    with Conversations(tmp_path) as chats:
        talk(chats, chats.create("m", 64).id, "kept", "1")
        keep_copy(chats.connection, chats.path)
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    told: list[str] = []
    with Conversations(tmp_path, told.append) as chats:
        assert [one.title for one in chats.all()] == ["kept"]
    assert "was restored" in told[0]
    assert (tmp_path / "conversations-damaged-1.sqlite").read_bytes().startswith(b"no database")


def test_a_damaged_file_without_a_copy_does_not_stop_the_program(tmp_path: Path):
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    told: list[str] = []
    with Conversations(tmp_path, told.append) as chats:
        assert chats.all() == []
    assert "kept as" in told[0]


def test_a_file_of_a_newer_version_is_refused_untouched(tmp_path: Path):
    with Conversations(tmp_path, migrations=(*MIGRATIONS, "CREATE TABLE new (x);")) as chats:
        talk(chats, chats.create("m", 64).id, "kept", "1")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(UserError, match="newer version"):
        Conversations(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_an_older_file_is_copied_before_it_is_changed(tmp_path: Path):
    with Conversations(tmp_path) as chats:
        talk(chats, chats.create("m", 64).id, "kept", "1")
    with Conversations(tmp_path, migrations=(*MIGRATIONS, "CREATE TABLE new (x);")) as chats:
        assert [one.title for one in chats.all()] == ["kept"]
        assert chats.read("SELECT count(*) FROM new") == [(0,)]
    version = len(MIGRATIONS)
    copy = tmp_path / f"conversations.before-version-{version + 1}.sqlite"
    with closing(sqlite3.connect(copy)) as old:
        assert old.execute("SELECT text FROM turns").fetchall() == [("kept",), ("1",)]
        assert old.execute("PRAGMA user_version").fetchone() == (version,)


def test_conversations_of_the_first_version_go_on(tmp_path: Path):
    with closing(sqlite_file.connect(tmp_path / FILE, may_write=True)) as first:
        sqlite_file.migrate(first, APPLICATION_ID, MIGRATIONS[:1])
        first.execute(
            "INSERT INTO conversations VALUES (7, 'old', 'm', 64, '', '', '', '[]', '', 1)"
        )
        first.execute(
            "INSERT INTO turns (conversation, role, text, sent, is_final, created) "
            "VALUES (7, 'user', 'kept', 'kept', 1, '')"
        )
    with Conversations(tmp_path) as chats:
        assert [(turn.text, turn.unsent) for turn in chats.branch(7)] == [("kept", ())]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path):
    with Conversations(tmp_path) as chats:
        talk(chats, chats.create("m", 64).id, "kept", "1")
    broken = (*MIGRATIONS, "CREATE TABLE new (x); CREATE TABLE turns (x);")
    with pytest.raises(sqlite3.OperationalError):
        Conversations(tmp_path, migrations=broken)
    with Conversations(tmp_path) as chats:
        assert [one.title for one in chats.all()] == ["kept"]


def test_a_title_is_no_markdown_either(chats: Conversations):
    here = chats.create("m", 64).id
    talk(chats, here, "<img src=http://x.example> [a](http://y.example)", "No.")
    head = as_markdown(chats, here).splitlines()[0]
    assert head.startswith("# \\<img src=http://x.example> [a\\](http")


def test_the_file_and_its_copy_are_private(tmp_path: Path):
    with Conversations(tmp_path) as chats:
        chats.create("m", 64)
    with Conversations(tmp_path):
        pass
    for name in (FILE, BACKUP):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_an_exported_answer_is_text_and_acts_on_nobody(chats: Conversations):
    made = chats.create("m", 64).id
    text = "## You\n<img src=x> ![x](http://evil/?q=1) [a](http://b)\n```\n<b> ## x\n```\nand `<i>`"
    talk(chats, made, "one", text)
    shown = as_markdown(chats, made)
    assert "\\## You\n\\<img src=x> \\![x\\](http://evil/?q=1) [a\\](http://b)" in shown
    assert "```\n<b> ## x\n```\nand `<i>`" in shown
    assert shown.count("\n## ") == 2


def test_a_home_that_can_only_be_read_shows_its_conversations(tmp_path: Path):
    with Conversations(tmp_path) as chats:
        made = chats.create("m", 64).id
        talk(chats, made, "one", "1")
    before = (tmp_path / "conversations.sqlite").read_bytes()
    with Conversations(tmp_path, may_write=False) as chats:
        assert [turn.text for turn in chats.branch(made)] == ["one", "1"]
        with pytest.raises(UserError, match="cannot be kept"):
            chats.rename(made, "other")
    assert (tmp_path / "conversations.sqlite").read_bytes() == before
    with pytest.raises(UserError, match="no conversation yet"):
        Conversations(tmp_path / "empty", may_write=False)


def test_a_conversation_goes_on_with_another_model(chats: Conversations):
    made = chats.create("m", 64).id
    talk(chats, made, "one", "1")
    assert chats.change_model(made, "other").model == "other"
    assert [turn.text for turn in chats.branch(made)] == ["one", "1"]
