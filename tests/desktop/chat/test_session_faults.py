"""What a conversation keeps when its server fails (FAULTS F9 to F14)."""

import asyncio
import json
import socket
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from desktop.chat.conversations import Conversations
from desktop.chat.counting import CalibratedCounter
from desktop.chat.news import Piece, Planned
from desktop.ollama_api.errors import (
    ModelNotFound,
    OllamaError,
    OllamaNotRunning,
    OllamaRefused,
    OllamaStalled,
    OllamaUnreadable,
    StreamCut,
)
from desktop.ollama_api.limits import Limits
from tests.desktop.chat.talking import (
    answer,
    ended,
    nothing,
    passage,
    prompts,
    said,
    shown,
    talking,
)
from tests.servers.scripted_ollama import Reply, ScriptedOllama, chat_line, scripted_ollama

HALF = (chat_line("Because"), chat_line(" of"))


def test_stop_keeps_the_text_and_takes_less_than_a_second(
    scripted: ScriptedOllama, tmp_path: Path, run_async
):
    async def check() -> None:
        scripted.script("POST", "/api/chat", Reply(HALF, then="stall"))
        async with talking(scripted, tmp_path) as (session, chats, here):
            stopped_at = 0.0
            news = []
            async for one in session.send("Why?"):
                news.append(one)
                if isinstance(one, Piece) and one.text == " of":
                    stopped_at = time.monotonic()
                    session.stop()
            assert time.monotonic() - stopped_at < 1
            kept = chats.branch(here)[-1]
            assert (kept.text, kept.is_final, kept.reason) == ("Because of", False, "stopped")
            assert ended(news).answer == kept
            await said(session.send("Go on"))
            assert prompts(scripted)[1][2] == {"role": "assistant", "content": "Because of"}

    run_async(check())


def test_a_stop_before_the_first_word_is_obeyed(
    scripted: ScriptedOllama, tmp_path: Path, run_async
):
    async def check() -> None:
        scripted.script("POST", "/api/chat", Reply(HALF, then="hang"))
        async with talking(scripted, tmp_path) as (session, chats, here):
            asyncio.get_running_loop().call_later(0.2, session.stop)
            start = time.monotonic()
            await said(session.send("Why?"))
            assert time.monotonic() - start < 1.2
            assert chats.branch(here)[-1].reason == "stopped"
            await said(session.send("Hello?"))  # a question without an answer is not sent again
            assert [one["content"] for one in prompts(scripted)[1]] == ["Be kind.", "Hello?"]
        scripted.closing.set()

    run_async(check())


def test_leaving_early_keeps_the_text(scripted: ScriptedOllama, tmp_path: Path, run_async):
    async def check() -> None:
        scripted.script("POST", "/api/chat", Reply(HALF, then="stall"))
        async with talking(scripted, tmp_path) as (session, chats, here):
            async with aclosing(session.send("Why?")) as news:
                async for one in news:
                    if isinstance(one, Piece):
                        break
            kept = chats.branch(here)[-1]
            assert (kept.text, kept.is_final, kept.reason) == ("Because", False, "stopped")
            assert len(await said(session.send("Again"))) > 1

    run_async(check())


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(Reply(HALF, then="reset"), StreamCut), (Reply(HALF, then="eof"), StreamCut),
     (Reply(HALF), StreamCut), (Reply((*HALF, b'{"message": {"con'), then="eof"), OllamaError),
     (Reply((*HALF, b"<html>proxy</html>\n")), OllamaUnreadable),
     (Reply((*HALF, {"error": "model runner has unexpectedly stopped"})), OllamaRefused),
     (Reply(HALF, then="stall"), OllamaStalled)],
    ids=["reset", "eof", "f12 no done", "half a line", "html", "error line", "stall"],
)  # fmt: skip
def test_f11_a_stream_that_breaks_keeps_its_text_as_partial(
    scripted: ScriptedOllama, tmp_path: Path, run_async, reply: Reply, kind: type[OllamaError]
):
    async def check() -> None:
        scripted.script("POST", "/api/chat", reply)
        limits = Limits(answer_s=2, line_s=0.5)
        async with talking(scripted, tmp_path, limits=limits) as (session, chats, here):
            with pytest.raises(kind) as raised:
                await said(session.send("Why?"))
            question, kept = chats.branch(here)
            assert (kept.text, kept.is_final) == ("Because of", False)
            assert kept.reason == raised.value.title
            await said(session.again(question.id))
            assert chats.branch(here)[-1].text == "Hello there"
            assert [turn.text for turn in chats.versions(kept.id)] == ["Because of", "Hello there"]

    run_async(check())


def test_a_proxys_page_instead_of_an_answer_is_said(
    scripted: ScriptedOllama, tmp_path: Path, run_async
):
    async def check() -> None:
        page = Reply((b"<html><h1>Bad gateway</h1></html>",), 502)
        scripted.script("POST", "/api/chat", page)
        async with talking(scripted, tmp_path) as (session, chats, here):
            with pytest.raises(OllamaRefused, match="502"):
                await said(session.send("Why?"))
            assert [turn.text for turn in chats.branch(here)] == ["Why?", ""]

    run_async(check())


def test_f9_a_server_that_is_not_there_costs_no_text(
    scripted: ScriptedOllama, tmp_path: Path, run_async
):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{held.getsockname()[1]}"

    async def check() -> None:
        url, scripted.url = scripted.url, closed
        async with talking(scripted, tmp_path) as (session, chats, here):
            with pytest.raises(OllamaNotRunning):
                await said(session.send("Why?"))
            assert [turn.text for turn in chats.branch(here)] == ["Why?", ""]
        scripted.url = url
        async with talking(scripted, tmp_path, conversation=here) as (session, chats, here):
            await said(session.again(chats.branch(here)[0].id))
            assert [turn.text for turn in chats.branch(here)] == ["Why?", "Hello there"]

    run_async(check())


def test_f10_a_server_that_restarts_gets_the_message_once(tmp_path: Path, run_async):
    with scripted_ollama() as first:
        port = int(first.url.rsplit(":", 1)[1])

    async def check() -> None:
        restarted = scripted_ollama(port=port)
        limits = Limits(answer_s=2, reconnect_s=5)
        async with talking(first, tmp_path, limits=limits) as (session, chats, here):
            asking = asyncio.create_task(said(session.send("Why?")))
            await asyncio.sleep(0.4)
            # In a thread: the server's own loop cannot be started inside of this one.
            back = await asyncio.to_thread(restarted.__enter__)
            back.models.update(first.models)
            await asking
            await asyncio.to_thread(restarted.__exit__, None, None, None)
            assert len(prompts(back)) == 1
            assert [turn.text for turn in chats.branch(here)] == ["Why?", "Hello there"]

    run_async(check())


def test_f14_a_model_that_is_gone_is_named_and_the_talk_kept(
    scripted: ScriptedOllama, tmp_path: Path, run_async
):
    async def check() -> None:
        async with talking(scripted, tmp_path) as (session, chats, here):
            await said(session.send("one"))
            model = scripted.models.pop("m:latest")
            with pytest.raises(ModelNotFound, match="'m'"):
                await said(session.send("two"))
            scripted.models["m:latest"] = model
            await said(session.send("three"))
            texts = [turn.text for turn in chats.branch(here)]
            assert texts == ["one", "Hello there", "two", "", "three", "Hello there"]

    run_async(check())


FORMS = {
    "24": "the input length exceeds the context length",
    "33": json.dumps({"error": {
        "code": 400, "message": "request (900 tokens) exceeds the available context size (768 "
        "tokens), try increasing it", "type": "exceed_context_size_error",
        "n_prompt_tokens": 900, "n_ctx": 768,
    }}),
    "shift": "the prompt is longer than the context length currently available to the model; ..",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_too_long_leaves_out_history_and_asks_once_more(
    scripted: ScriptedOllama, tmp_path: Path, run_async, form: str
):
    async def check() -> None:
        async with talking(scripted, tmp_path) as (session, chats, here):
            for at in range(4):
                await said(session.send(f"question {at} " + "word " * 60))
            refused = Reply(({"error": FORMS[form]},), 400)
            scripted.script("POST", "/api/chat", refused, answer("Short"))
            news = await said(session.send("And now?"))
            plans = [one for one in news if isinstance(one, Planned)]
            assert len(plans[0].left_out) == 0
            assert plans[1].left_out[0].startswith("question 0")
            kept = chats.branch(here)[-1]
            assert (kept.text, kept.is_final) == ("Short", True)
            assert len(chats.versions(kept.id)) == 1
            assert chats.context_of(kept.id) == prompts(scripted)[-1]

    run_async(check())


def test_too_long_without_anything_to_leave_out_is_said(
    scripted: ScriptedOllama, tmp_path: Path, run_async
):
    async def check() -> None:
        scripted.script("POST", "/api/chat", Reply(({"error": FORMS["33"]},), 400))
        async with talking(scripted, tmp_path) as (session, _, _):
            with pytest.raises(OllamaRefused, match="longer than the model's context"):
                await said(session.send("Hi"))
            assert len(prompts(scripted)) == 1

    run_async(check())


def test_without_a_vocabulary_no_prompt_is_above_the_window(
    scripted: ScriptedOllama, tmp_path: Path, run_async
):
    """The scripted server refuses what is too long; a word is a token there."""

    async def check() -> None:
        counter = CalibratedCounter()
        async with talking(scripted, tmp_path, window=2048, counter=counter) as (session, _, _):
            for at in range(12):
                reply = answer("An answer of some words", prompt_eval_count=40 + at)
                scripted.script("POST", "/api/chat", reply)
                news = await said(session.send(f"question {at} " + "many words " * 12))
                assert not ended(news).warning
        assert counter.tokens_per_byte < 1

    run_async(check())


def test_the_text_so_far_is_on_disk_while_the_answer_is_written(
    scripted: ScriptedOllama, tmp_path: Path, run_async
):
    async def check() -> None:
        words = tuple(chat_line(f"w{at} ") for at in range(14))
        scripted.script("POST", "/api/chat", Reply(words, pause_s=0.1, then="stall"))
        async with talking(scripted, tmp_path) as (session, _, here):
            async for one in session.send("Why?"):
                if isinstance(one, Piece) and "w13" in one.text:
                    with Conversations(tmp_path) as other:  # what a killed program would leave
                        kept = other.branch(here)[-1]
                        assert "w8 " in kept.text
                        assert not kept.is_final
                    session.stop()

    run_async(check())


def test_a_question_that_fails_before_it_is_sent_is_kept_and_asked_anew(
    scripted: ScriptedOllama, tmp_path: Path, run_async
):
    found = [passage(0, "Acme had a staff of 340 people.")]
    broken = True

    async def search(_query: str):
        if broken:
            raise OllamaNotRunning(scripted.url)
        return found

    async def check() -> None:
        nonlocal broken
        async with talking(scripted, tmp_path, search=search) as (session, chats, here):
            with pytest.raises(OllamaNotRunning):
                await said(session.send("How large is the staff?"))
            [kept] = chats.branch(here)
            assert (kept.text, prompts(scripted)) == ("How large is the staff?", [])
            broken = False
            await said(session.again(kept.id))
            assert [turn.text for turn in chats.branch(here)] == [
                "How large is the staff?", "Hello there",
            ]  # fmt: skip
            assert "340 people" in prompts(scripted)[0][-1]["content"]

    run_async(check())


def test_answering_again_where_nothing_was_found_searches_and_asks_no_model(
    scripted: ScriptedOllama, tmp_path: Path, run_async
):
    async def check() -> None:
        async with talking(scripted, tmp_path, search=nothing, only_found=True) as opened:
            session, chats, here = opened
            await said(session.send("quantum gluons?"))
            again = await said(session.again(chats.branch(here)[0].id))
            assert ended(again).found is False
            [plan] = [one for one in again if isinstance(one, Planned)]
            assert (plan.budget.prompt, ended(again).predicted) == (0, 0)
            assert prompts(scripted) == []
        async with talking(scripted, tmp_path, conversation=here) as (session, chats, here):
            # The next prompt has nothing of one that was never sent.
            [plan] = [one for one in await said(session.send("Hello"))
                      if isinstance(one, Planned)]  # fmt: skip
            assert plan.shared_tokens == 0
            [plan] = [one for one in await said(session.send("And now?"))
                      if isinstance(one, Planned)]  # fmt: skip
            assert plan.shared_tokens > 0

    run_async(check())


def test_what_was_held_back_of_a_broken_answer_is_shown(
    scripted: ScriptedOllama, tmp_path: Path, run_async
):
    scripted.script("POST", "/api/chat", Reply((chat_line("Half an answer [1]"),), then="reset"))

    async def check() -> None:
        news: list[Any] = []

        async def take(stream: Any) -> None:
            async for one in stream:
                news.append(one)

        async with talking(scripted, tmp_path) as (session, chats, here):
            with pytest.raises(StreamCut):
                await take(session.send("Why?"))
            assert shown(news) == chats.branch(here)[-1].text
            assert shown(news).startswith("Half an answer")

    run_async(check())
