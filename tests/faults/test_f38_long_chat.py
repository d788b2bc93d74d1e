"""F38: a conversation without bound opens within a second and asks as fast as a short one."""

import time
from pathlib import Path

from desktop.chat.conversations import Conversations
from desktop.chat.preparing import Preparer
from tests.desktop.chat.talking import WordCounter

TURNS, WORDS = 1_000, 500  # a question and an answer each: a million tokens
LIMIT_S = 1.0


class CountingCounter(WordCounter):
    """Also tells how many words it was given to count."""

    def __init__(self) -> None:
        self.words = 0

    async def texts(self, texts):
        self.words += sum(len(text.split()) for text in texts)
        return await super().texts(texts)


def test_a_chat_of_a_million_tokens_opens_within_a_second(tmp_path: Path, run_async):
    with Conversations(tmp_path) as chats:
        # The test's own writing need not outlive a power cut.
        chats.connection.execute("PRAGMA synchronous = OFF")
        here, parent = chats.create("m", 8192).id, None
        asked = []
        for turn in range(TURNS):
            question = chats.ask(here, f"{turn} " + "word " * WORDS, parent)
            asked.append(question.id)
            answer = chats.begin_answer(question.id, asked[-3:])
            parent = chats.finish(
                answer.id, "word " * WORDS, sent="word " * WORDS, prompt_tokens=1, answer_tokens=1
            ).id
    started = time.process_time()
    with Conversations(tmp_path) as chats:
        branch = chats.branch(here)
        opened_s = time.process_time() - started
        counter = CountingCounter()
        made = run_async(Preparer(chats.get(here), counter).prepare(branch, "And now?", None))
        prepared_s = time.process_time() - started - opened_s
    assert len(branch) == 2 * TURNS
    assert opened_s < LIMIT_S
    assert prepared_s < LIMIT_S
    assert made.predicted <= 8192
    # What was left out before is not counted again.
    assert counter.words < 10 * WORDS
