"""Full-text search over all conversations, in every branch and script."""

from dataclasses import dataclass

from desktop.chat.conversations import Conversations

_AROUND = 60
_INDEXED = 3  # characters: shorter words are in no trigram


@dataclass(frozen=True)
class FoundTurn:
    """A turn that holds all words that were asked for. excerpt: around the first of them."""

    conversation: int
    title: str
    turn: int
    role: str
    excerpt: str


def find(conversations: Conversations, wanted: str, limit: int = 50) -> list[FoundTurn]:
    """The newest turns that hold every word of `wanted`, or stand under a title that does."""
    words = wanted.split()
    if not words:
        return []
    tests = " AND ".join([_IN_TEXT if len(word) >= _INDEXED else _IN_SHORT for word in words])
    values = [_quoted(word) if len(word) >= _INDEXED else _pattern(word) for word in words]
    titles = " AND ".join(["c.title LIKE ? ESCAPE '\\'"] * len(words))
    rows = conversations.read(
        "SELECT c.id, c.title, t.id, t.role, t.text FROM turns t "
        f"JOIN conversations c ON c.id = t.conversation WHERE ({tests}) OR "
        f"(t.parent IS NULL AND {titles}) ORDER BY t.id DESC LIMIT ?",
        *values, *map(_pattern, words), limit,
    )  # fmt: skip
    return [
        FoundTurn(conversation, title, turn, role, _excerpt(text, words[0]))
        for conversation, title, turn, role, text in rows
    ]


_IN_TEXT = "t.id IN (SELECT rowid FROM words WHERE words MATCH ?)"
_IN_SHORT = "t.text LIKE ? ESCAPE '\\'"


def _quoted(word: str) -> str:
    escaped = word.replace('"', '""')
    return f'"{escaped}"'


def _pattern(word: str) -> str:
    for sign in "\\%_":
        word = word.replace(sign, f"\\{sign}")
    return f"%{word}%"


def _excerpt(text: str, word: str) -> str:
    at = max(0, text.casefold().find(word.casefold()))
    start, end = max(0, at - _AROUND), at + len(word) + _AROUND
    cut = " ".join(text[start:end].split())
    return f"{'…' if start else ''}{cut}{'…' if end < len(text) else ''}"
