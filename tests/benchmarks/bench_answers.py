"""How often "not in your documents" is said: to questions that the document does not answer, and to
those that it does (mmlongbench_small).

    python -m tests.benchmarks.bench_answers [MODEL.gguf ...]

The starter model, and each GGUF that is named, by the built-in engine in a window of 2,048 tokens:
each question is asked of its own document, as `tunedesk ask --file` does. An answerable question
counts as right if its answer's words stand in what was written.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from desktop.chat.beginning import begin
from desktop.chat.conversations import Conversations
from desktop.chat.news import Ended
from desktop.chat.opening import Talker, TalkWish, builtin_talker
from desktop.chat.sources import Source
from desktop.core.catalog import starter
from desktop.documents.ingest import Request, add_documents
from desktop.documents.packs import shipped_packs
from desktop.documents.shelf import Place, place_for
from desktop.documents.words import words
from desktop.engine.builtin import BuiltinModel, BuiltinStore, Card
from tests.benchmarks.bench_retrieval import data_folder
from tests.servers.starter import starter_gguf

WINDOW = 2048
UNANSWERABLE = "Not answerable"


@dataclass(frozen=True)
class Asked:
    """is_answerable: by the document. is_found: the model's word. is_right: its answer stands in
    what was written. cited, removed: citations. seconds: of wall time."""

    is_answerable: bool
    is_found: bool
    is_right: bool
    cited: int
    removed: int
    seconds: float


def main() -> None:
    """Print the table."""
    data = data_folder()
    if data is None:
        return
    samples = json.loads((data / "mmlongbench_small/samples.json").read_text())
    without = [one for one in samples if one["answer"] == UNANSWERABLE]
    files = {one["doc_id"] for one in without}
    # As many that can be answered from text, of the same documents.
    answerable = [
        one for one in samples if one["doc_id"] in files
        and one["answer_format"] in ("Str", "Int") and "Pure-text" in one["evidence_sources"]
    ]
    chosen = [*without, *answerable[: len(without)]]
    with tempfile.TemporaryDirectory() as folder:
        place = place_for(Path(folder) / "libraries", "bench")
        documents = [data / "mmlongbench_small/documents" / name for name in sorted(files)]
        add_documents(Request(place.folder, tuple(documents)), lambda event: None, lambda: False)
        print(f"{'model':28}{'not answerable':>32}{'answerable':>44}")
        print(f"{'':28}{'asked':>10}{'said so':>10}{'cited':>12}{'asked':>12}{'said so':>10}"
              f"{'right':>10}{'cited':>12}{'s each':>10}")  # fmt: skip
        for name, model in _models(Path(folder), sys.argv[1:]):
            _row(name, asyncio.run(_all(Path(folder), place, model, chosen)))


def _models(folder: Path, named: Sequence[str]) -> list[tuple[str, BuiltinModel]]:
    store = BuiltinStore(folder / "models")
    own = starter()
    made = [(own.name, store.add(starter_gguf(), "starter", Card(stops=own.stops)))]
    for at, text in enumerate(named):
        made.append((Path(text).name[:26], store.add(Path(text), f"model{at}")))
    return made


async def _all(
    folder: Path, place: Place, model: BuiltinModel, samples: Sequence[dict[str, str]]
) -> list[Asked]:
    with Conversations(folder) as chats:
        async with builtin_talker(model, TalkWish(WINDOW)) as talker:
            return [await _ask(chats, talker, place, one) for one in samples]


async def _ask(
    chats: Conversations, talker: Talker, place: Place, sample: dict[str, str]
) -> Asked:
    started = time.monotonic()
    source = Source(place, sample["doc_id"], shipped_packs())
    begun = await begin(chats, talker, source)
    async with aclosing(begun.session.send(sample["question"])) as news:
        [ended] = [one async for one in news if isinstance(one, Ended)]
    wanted = {word.lower() for word in words(sample["answer"])}
    written = {word.lower() for word in words(ended.answer.text)}
    return Asked(
        sample["answer"] != UNANSWERABLE, ended.found, bool(wanted) and wanted <= written,
        sum(one.how == "cited" for one in ended.checked.citations), len(ended.checked.removed),
        time.monotonic() - started,
    )  # fmt: skip


def _row(name: str, asked: Sequence[Asked]) -> None:
    without = [one for one in asked if not one.is_answerable]
    answerable = [one for one in asked if one.is_answerable]
    seconds = sum(one.seconds for one in asked) / len(asked)
    print(
        f"{name:28}{len(without):10}{_share(without, 'is_found', False):>10}"
        f"{_cited(without):>12}{len(answerable):12}"
        f"{_share(answerable, 'is_found', False):>10}{_share(answerable, 'is_right', True):>10}"
        f"{_cited(answerable):>12}{seconds:10.1f}", flush=True,
    )  # fmt: skip


def _share(asked: Sequence[Asked], name: str, value: bool) -> str:
    return f"{100 * sum(getattr(one, name) == value for one in asked) / max(1, len(asked)):.0f} %"


def _cited(asked: Sequence[Asked]) -> str:
    """Citations that stand, and numbers that were taken out."""
    return f"{sum(one.cited for one in asked)}/-{sum(one.removed for one in asked)}"


if __name__ == "__main__":
    main()
