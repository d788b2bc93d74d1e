"""A question put to a library by words and, where an embedder is handed in, by meaning too.

Words come first: whatever keeps meaning from being added leaves their result as it is, with the
reason (`Answer.words_alone`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from converters.errors import UserError
from desktop.documents.backup import restore
from desktop.documents.database import LibraryDamaged
from desktop.documents.embedder import Embedder
from desktop.documents.library import Library
from desktop.documents.lookup import PostingsCache
from desktop.documents.packs import Pack
from desktop.documents.passages import Answer, answer_of, look
from desktop.documents.semantic import with_meaning
from desktop.documents.stored_vectors import StoredVectors

MEANING_S = 10.0
"""How long new vectors for one question may take: about 55 chunks, 5 CPU-s for a small model."""


async def ask_with_meaning(
    library: Library, question: str, embedder: Embedder | None, packs: Sequence[Pack] = (),
    k: int = 10, file: str = "", cache: PostingsCache | None = None,
) -> Answer:  # fmt: skip
    """As `passages.ask`, the order by meaning too; without an embedder it is the same.

    An embedder that fails, or takes longer than MEANING_S, costs the meaning and nothing else; the
    vectors that it made are kept. Raises UserError if `file` names none or several, LibraryDamaged.
    """
    looked = look(library, question, packs, file, cache)
    if embedder is None:
        return answer_of(library, looked, question, k)
    vectors = StoredVectors(library, looked.documents)
    words_alone = ""
    try:
        async with asyncio.timeout(MEANING_S):
            ranked = await with_meaning(looked.ranked, vectors, embedder)
        looked = replace(looked, ranked=ranked)
    except TimeoutError:
        words_alone = f"New vectors took longer than {MEANING_S:g} s; those made are kept."
    except LibraryDamaged:
        raise
    except UserError as error:
        words_alone = f"{error.title} {error.detail}".strip()
    answer = answer_of(library, looked, question, k)
    return replace(answer, words_alone=words_alone, not_kept=vectors.not_kept)


async def with_library_async[T](
    folder: Path, work: Callable[[Library], Awaitable[T]], on_repair: Callable[[str], None]
) -> T:
    """As `library.with_library`, for work that waits."""
    try:
        with Library(folder) as library:
            return await work(library)
    except LibraryDamaged as damage:
        on_repair(restore(folder, damage))
    with Library(folder) as library:
        return await work(library)
