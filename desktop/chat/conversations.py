"""All conversations of a home, in one SQLite file. Nothing that was said is overwritten.

An edited question and a second answer are new branches. An answer is kept as partial from its first
word and becomes final only when the model has ended it.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from converters.errors import UserError
from desktop.chat import passages as passage_json
from desktop.chat.conversation_file import (
    FILE,
    in_words,
    keep_copy,
    opened,
    opened_for_reading,
)
from desktop.chat.passages import Passage
from desktop.chat.schema import MIGRATIONS
from desktop.chat.turns import (
    CONVERSATION,
    TURN,
    Conversation,
    Turn,
    conversation_of,
    storable,
    turn_of,
)
from desktop.core.sqlite_file import transaction, unhurried

UNFINISHED = "not finished"
TITLE_CHARACTERS = 60
_PATH = f"""
WITH RECURSIVE path (id, parent, depth) AS (
  SELECT id, parent, 0 FROM turns WHERE id = ?
  UNION ALL SELECT turns.id, turns.parent, depth + 1 FROM turns JOIN path ON turns.id = path.parent
)
SELECT {", ".join(f"t.{name}" for name in TURN.split(", "))}
FROM path JOIN turns t ON t.id = path.id ORDER BY path.depth DESC
"""
_NEWEST_BELOW = """
WITH RECURSIVE below (id) AS (
  SELECT ? UNION ALL SELECT turns.id FROM turns JOIN below ON turns.parent = below.id
)
SELECT max(id) FROM below
"""


class Conversations:
    """The open file; a context manager, for one thread.

    folder: the home. on_repair: told what was restored if the file was damaged. may_write: False
    for a home that can only be read. Raises UserError.
    """

    def __init__(
        self,
        folder: Path,
        on_repair: Callable[[str], None] = lambda told: None,
        migrations: Sequence[str] = MIGRATIONS,
        *,
        may_write: bool = True,
    ) -> None:
        self.path = folder / FILE
        if may_write:
            self.connection = opened(self.path, on_repair, migrations)
        else:
            self.connection = opened_for_reading(self.path, migrations)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()

    # -- conversations -----------------------------------------------------------------------

    def create(
        self, model: str, window: int, *, system: str = "", library: str = "", file: str = "",
        passages: Sequence[Passage] = (), title: str = "",
    ) -> Conversation:  # fmt: skip
        """Begin a conversation. Without a title its first question becomes one."""
        made = self._write(
            f"INSERT INTO conversations ({CONVERSATION}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            storable(title), storable(model), window, storable(system), storable(library),
            storable(file), passage_json.to_json(passages), _now(), None,
        )  # fmt: skip
        return self.get(made)

    def get(self, conversation: int) -> Conversation:
        """One conversation. Raises UserError if there is none of that number."""
        rows = self.read(f"SELECT {CONVERSATION} FROM conversations WHERE id = ?", conversation)
        if not rows:
            raise UserError(
                f"There is no conversation {conversation}.", "It may have been deleted.",
                "`tunedesk chats` shows those that are there.",
            )
        return conversation_of(rows[0])

    def all(self) -> list[Conversation]:
        """Every conversation, the one with the newest turn first."""
        rows = self.read(
            f"SELECT {CONVERSATION} FROM conversations c ORDER BY coalesce("
            "(SELECT max(id) FROM turns WHERE conversation = c.id), 0) DESC, id DESC"
        )
        return [conversation_of(row) for row in rows]

    def rename(self, conversation: int, title: str) -> Conversation:
        """Give it another title."""
        self.get(conversation)
        self._write("UPDATE conversations SET title = ? WHERE id = ?",
                    storable(title).strip(), conversation)  # fmt: skip
        return self.get(conversation)

    def change_model(self, conversation: int, model: str) -> Conversation:
        """Go on with another model; what was said stays."""
        self.get(conversation)
        self._write("UPDATE conversations SET model = ? WHERE id = ?", storable(model),
                    conversation)  # fmt: skip
        return self.get(conversation)

    def delete(self, conversation: int) -> None:
        """Remove it with all its turns and ratings, from the last good copy too."""
        self.get(conversation)
        self._write("DELETE FROM conversations WHERE id = ?", conversation)
        with in_words(self.path):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        keep_copy(self.connection, self.path)

    # -- turns -------------------------------------------------------------------------------

    def branch(self, conversation: int) -> tuple[Turn, ...]:
        """The turns of the branch that is shown, from the first question on."""
        last = self.get(conversation).last_turn
        return self.branch_to(last) if last is not None else ()

    def branch_to(self, turn: int) -> tuple[Turn, ...]:
        """A turn and all those before it, the first one first."""
        return tuple(turn_of(row) for row in self.read(_PATH, turn))

    def turn(self, turn: int) -> Turn:
        """One turn. Raises UserError if there is none of that number."""
        rows = self.read(f"SELECT {TURN} FROM turns WHERE id = ?", turn)
        if not rows:
            raise UserError(f"There is no message {turn}.", "It may have been deleted.", "")
        return turn_of(rows[0])

    def versions(self, turn: int) -> list[Turn]:
        """The turn and its other versions (edited questions, second answers), oldest first."""
        this = self.turn(turn)
        rows = self.read(
            f"SELECT {TURN} FROM turns WHERE conversation = ? AND parent IS ? ORDER BY id",
            this.conversation, this.parent,
        )  # fmt: skip
        return [turn_of(row) for row in rows]

    def choose(self, turn: int) -> None:
        """Show the branch through this turn, up to its newest end."""
        [(last,)] = self.read(_NEWEST_BELOW, turn)
        self._write("UPDATE conversations SET last_turn = ? WHERE id = ?",
                    last, self.turn(turn).conversation)  # fmt: skip

    def ask(
        self, conversation: int, text: str, parent: int | None, *, sent: str | None = None,
        passages: Sequence[Passage] = (), unsent: Sequence[Passage] = (),
    ) -> Turn:  # fmt: skip
        """Append a question behind the answer `parent`, None for the first one; it is shown.

        An edited question has the parent of the one before it. sent: the text as sent, if other.
        """
        here = self.get(conversation)
        self._require_parent(here, parent, "assistant")
        text, title = storable(text), " ".join(storable(text).split())[:TITLE_CHARACTERS]
        with in_words(self.path), transaction(self.connection):
            made = self._insert(
                here.id, parent, "user", text, text if sent is None else storable(sent),
                passage_json.to_json(passages), is_final=True, unsent=passage_json.to_json(unsent),
            )  # fmt: skip
            if not here.title:
                self.connection.execute(
                    "UPDATE conversations SET title = ? WHERE id = ?", (title, here.id)
                )
        return self.turn(made)

    def begin_answer(self, question: int, request: Sequence[int]) -> Turn:
        """Append an answer without text to a question; it is partial until `finish`."""
        asked = self.turn(question)
        self._require_parent(self.get(asked.conversation), question, "user")
        with (
            in_words(self.path),
            unhurried(self.connection),  # the first token is on its way, and no text is there yet
            transaction(self.connection),
        ):
            made = self._insert(
                asked.conversation, question, "assistant", "", "", "[]", is_final=False,
                reason=UNFINISHED, request=json.dumps(list(request)),
            )  # fmt: skip
        return self.turn(made)

    def begin_anew(self, answer: int, request: Sequence[int]) -> None:
        """Note that an answer without text was asked for again, with other turns."""
        self._write(
            "UPDATE turns SET request = ?, reason = ? WHERE id = ? AND is_final = 0 AND text = ''",
            json.dumps(list(request)), UNFINISHED, answer,
        )  # fmt: skip

    def keep_partial(self, answer: int, text: str, sent: str, reason: str = UNFINISHED) -> None:
        """Keep what an answer has so far, as `finish`. A final one stays as it is."""
        self._write(
            "UPDATE turns SET text = ?, sent = ?, reason = ? WHERE id = ? AND is_final = 0",
            storable(text), storable(sent), reason, answer,
        )  # fmt: skip

    def finish(
        self, answer: int, text: str, *, sent: str, prompt_tokens: int, answer_tokens: int,
        checked: str = "", reason: str = "",
    ) -> Turn:  # fmt: skip
        """The whole answer. text: as shown; sent: as the model wrote it, for later prompts.

        With a reason (the room for the answer was used up) it stays partial.
        """
        self._write(
            "UPDATE turns SET text = ?, sent = ?, is_final = ?, reason = ?, prompt_tokens = ?, "
            "answer_tokens = ?, checked = ? WHERE id = ? AND is_final = 0",
            storable(text), storable(sent), not reason, reason, prompt_tokens, answer_tokens,
            checked, answer,
        )  # fmt: skip
        return self.turn(answer)

    def context_of(self, answer: int) -> list[dict[str, str]]:
        """The messages that an answer was given to, byte for byte as they were sent."""
        turn = self.turn(answer)
        system = self.get(turn.conversation).system
        sent = [self.turn(number) for number in turn.request]
        head = [{"role": "system", "content": system}] if system else []
        return head + [{"role": one.role, "content": one.sent} for one in sent]

    # -- private -----------------------------------------------------------------------------

    def read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a SELECT. Raises UserError as every method does."""
        with in_words(self.path):
            return self.connection.execute(statement, values).fetchall()

    def _write(self, statement: str, *values: Any) -> int:
        with in_words(self.path), transaction(self.connection):
            return self.connection.execute(statement, values).lastrowid or 0

    def _insert(
        self, conversation: int, parent: int | None, role: str, text: str, sent: str,
        passages: str, *, is_final: bool, reason: str = "", request: str = "[]",
        unsent: str = "[]",
    ) -> int:  # fmt: skip
        made = self.connection.execute(
            "INSERT INTO turns (conversation, parent, role, text, sent, passages, is_final, "
            "reason, request, created, unsent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (conversation, parent, role, text, sent, passages, is_final, reason, request, _now(),
             unsent),
        ).lastrowid
        self.connection.execute(
            "UPDATE conversations SET last_turn = ? WHERE id = ?", (made, conversation)
        )
        return made or 0

    def _require_parent(self, here: Conversation, parent: int | None, role: str) -> None:
        """Questions follow answers and answers questions: templates know nothing else."""
        if parent is None:
            return
        before = self.turn(parent)
        if before.conversation != here.id or before.role != role:
            raise ValueError(f"turn {parent} is no {role}'s turn of conversation {here.id}")


def _now() -> str:
    return datetime.now(UTC).isoformat()
