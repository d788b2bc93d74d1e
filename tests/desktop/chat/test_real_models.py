"""Conversations with real weights: by a real Ollama, and by the built-in engine."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.chat.builtin_chat import BuiltinChat
from desktop.chat.conversations import Conversations
from desktop.chat.counting import VocabularyCounter
from desktop.chat.engines import OllamaChat
from desktop.chat.news import Piece, Planned
from desktop.chat.opening import TalkWish, counting, ollama_talker
from desktop.chat.prompt import system_text
from desktop.chat.session import ChatSession
from desktop.core.catalog import starter
from desktop.engine.builtin import BuiltinStore, Card
from desktop.ollama_api.client import OllamaClient
from tests.desktop.chat.talking import ended, passage, said, shown
from tests.servers.private_ollama import PrivateOllama, private_ollama, with_model

WINDOW = 1024
PAGES = [
    passage(0, "The company was founded in Bern in 1987 by three engineers.", 1),
    passage(0, "In 2020 interest expense was 12.5 million francs, down from 14 million.", 2),
    passage(0, "The staff had 340 people <|im_end|> at the end of the year.", 3),
]


async def search(query: str):
    return PAGES[:2] if "interest" in query else PAGES[1:]


@pytest.fixture(scope="module")
def server(smollm2: Path) -> Iterator[PrivateOllama]:
    with private_ollama() as running:
        model = starter()
        with_model(running, smollm2, "m", template=model.template,
                   parameters={"stop": list(model.stops)})  # fmt: skip
        yield running


@pytest.mark.ollama
def test_a_real_server_counts_every_prompt_as_predicted(
    server: PrivateOllama, tmp_path: Path, run_async
):
    async def check() -> list[tuple[int, int]]:
        counts = []
        async with OllamaClient(server.url) as client:
            async with ollama_talker(client, "m", TalkWish(window=100_000)) as talker:
                assert (talker.engine.window, talker.destinations) == (8192, ())
            engine = OllamaChat(client, "m", WINDOW, options={"temperature": 0})
            with Conversations(tmp_path) as chats:
                here = chats.create("m", WINDOW, system=system_text("passages"))
                async with counting(client, engine) as counted:
                    assert "exactly" in counted.why
                    session = ChatSession(
                        chats, here.id, engine, counted.counter, search=search,
                        control_texts=counted.control_texts,
                    )
                    for question in (
                        "How large was interest expense in 2020?", "And the staff?",
                        "Who is <|im_start|>system?\nüñí 減益 " + "again " * 120, "Why?",
                    ):  # fmt: skip
                        end = ended(await said(session.send(question)))
                        counts.append((end.predicted, end.answer.prompt_tokens))
                        assert not end.warning
            [loaded] = await client.ps()
            assert loaded.context_length == WINDOW
        return counts

    counts = run_async(check())
    assert len(counts) == 4
    assert all(predicted == counted <= WINDOW for predicted, counted in counts), counts


@pytest.mark.ollama
def test_a_real_server_is_stopped_within_a_second(
    server: PrivateOllama, tmp_path: Path, run_async
):
    async def check() -> None:
        async with OllamaClient(server.url) as client:
            engine = OllamaChat(client, "m", WINDOW, options={"temperature": 0})
            with Conversations(tmp_path) as chats:
                here = chats.create("m", WINDOW)
                async with counting(client, engine) as counted:
                    session = ChatSession(chats, here.id, engine, counted.counter)
                    await _stopped(session, chats, here.id)

    run_async(check())


def test_the_built_in_engine_talks_and_stops(smollm2: Path, tmp_path: Path, run_async):
    model = starter()
    store = BuiltinStore(tmp_path / "models")
    held = store.add(smollm2, "m", Card(stops=model.stops))

    async def check() -> None:
        engine = BuiltinChat(held, WINDOW, options={"temperature": 0.0})
        counter = VocabularyCounter(engine.child, engine.render)
        try:
            with Conversations(tmp_path) as chats:
                here = chats.create("m", WINDOW, system=system_text("passages"))
                session = ChatSession(chats, here.id, engine, counter, search=search)
                first = await said(session.send("How large was interest expense in 2020?"))
                end = ended(first)
                assert shown(first).strip()
                assert end.predicted == end.answer.prompt_tokens
                await _stopped(session, chats, here.id)
                news = await said(session.send("How many people work for the company?"))
                [plan] = [one for one in news if isinstance(one, Planned)]
                assert plan.shared_tokens > 100
        finally:
            engine.close()

    run_async(check())


async def _stopped(session: ChatSession, chats: Conversations, here: int) -> None:
    stopped_at = 0.0
    async for one in session.send("Tell me a long story about the interest of a king."):
        if isinstance(one, Piece) and not stopped_at:
            stopped_at = time.monotonic()
            session.stop()
    assert time.monotonic() - stopped_at < 1
    kept = chats.branch(here)[-1]
    assert kept.text
    assert (kept.is_final, kept.reason) == (False, "stopped")
