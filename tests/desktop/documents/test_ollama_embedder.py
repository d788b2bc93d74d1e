from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from converters.errors import Stopped
from desktop.documents.ollama_embedder import BATCH_TEXTS, OllamaEmbedder
from desktop.ollama_api.errors import ModelNotFound, OllamaRefused, OllamaUnreadable
from desktop.ollama_api.transport import Limits, Transport
from tests.servers.scripted_ollama import Reply, ScriptedOllama, scripted_ollama

MODEL = "nomic-embed-text:latest"


def embeddings(*rows: Sequence[float]) -> Reply:
    return Reply(({"model": MODEL, "embeddings": list(rows)},))


def with_embedder(
    server: ScriptedOllama, work: Callable[[OllamaEmbedder], Any], name: str = "nomic-embed-text",
    stop: Callable[[], bool] = lambda: False,
) -> Any:  # fmt: skip
    """A coroutine that opens the embedder and does `work` with it."""

    async def run() -> Any:
        transport = Transport(server.url, Limits())
        try:
            return await work(await OllamaEmbedder.open(transport, name, stop))
        finally:
            await transport.close()

    return run()


def test_vectors_have_length_1_and_texts_their_prefix(run_async: Any):
    with scripted_ollama() as server:
        server.models[MODEL] = {"digest": "a" * 64}
        server.script("POST", "/api/embed", embeddings([3, 4], [0, 2]), embeddings([1, 0]))

        async def both(embedder: OllamaEmbedder) -> Any:
            return await embedder.passages(["a", "b"]), await embedder.questions(["q"])

        passages, questions = run_async(with_embedder(server, both))
        sent = [request.json for request in server.seen("POST", "/api/embed")]
    assert passages.tolist() == pytest.approx(np.array([[0.6, 0.8], [0, 1]]))
    assert passages.dtype == np.float32
    assert questions.tolist() == [[1, 0]]
    assert sent[0]["input"] == ["search_document: a", "search_document: b"]
    assert sent[1] == {"model": MODEL, "input": ["search_query: q"], "truncate": True}


def test_many_texts_go_in_batches_in_order(run_async: Any):
    n = BATCH_TEXTS + 1
    with scripted_ollama() as server:
        server.models[MODEL] = {}
        server.script("POST", "/api/embed", embeddings(*[[1, 0]] * BATCH_TEXTS), embeddings([0, 1]))
        vectors = run_async(with_embedder(server, lambda e: e.passages([str(i) for i in range(n)])))
        sizes = [len(request.json["input"]) for request in server.seen("POST", "/api/embed")]
    assert sizes == [BATCH_TEXTS, 1]
    assert vectors[-1].tolist() == [0, 1]


def test_the_digest_is_the_servers(run_async: Any):
    async def digest(embedder: OllamaEmbedder) -> str:
        return embedder.digest

    with scripted_ollama() as server:
        server.models[MODEL] = {}
        assert run_async(with_embedder(server, digest)) == "0" * 64


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([[1.0, 0.0]], "1 vectors for 2 texts"),
        ([], "0 vectors for 2 texts"),
        (None, "no vectors for 2 texts"),
        ([[1.0, 0.0], [1.0]], "vectors that are none"),
        ([[], []], "vectors that are none"),
        ([[1.0], ["x"]], "vectors that are none"),
        ([[1.0], [float("inf")]], "vectors that are none"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(run_async: Any, rows: Any, told: str):
    with scripted_ollama() as server:
        server.models[MODEL] = {}
        server.script("POST", "/api/embed", Reply(({"embeddings": rows},)))
        with pytest.raises(OllamaUnreadable, match=told):
            run_async(with_embedder(server, lambda e: e.passages(["a", "b"])))


def test_vectors_of_two_lengths_are_refused(run_async: Any):
    with scripted_ollama() as server:
        server.models[MODEL] = {}
        server.script("POST", "/api/embed", embeddings(*[[1, 0]] * BATCH_TEXTS), embeddings([1]))
        with pytest.raises(OllamaUnreadable, match="different lengths"):
            run_async(with_embedder(server, lambda e: e.passages(["x"] * (BATCH_TEXTS + 1))))


def test_a_model_that_gives_no_embeddings_says_so(run_async: Any):
    with scripted_ollama() as server:
        server.models[MODEL] = {}
        refusal = Reply(({"error": "this model does not support embeddings"},), 501)
        server.script("POST", "/api/embed", refusal)
        with pytest.raises(OllamaRefused, match="does not support embeddings"):
            run_async(with_embedder(server, lambda e: e.questions(["q"])))


def test_a_model_that_is_absent_is_named(run_async: Any):
    with scripted_ollama() as server, pytest.raises(ModelNotFound, match="embeddinggemma"):
        run_async(with_embedder(server, lambda e: e.questions(["q"]), "embeddinggemma"))


def test_stop_ends_the_work_before_the_next_batch(run_async: Any):
    with scripted_ollama() as server:
        server.models[MODEL] = {}
        with pytest.raises(Stopped):
            run_async(with_embedder(server, lambda e: e.passages(["a"]), stop=lambda: True))
        assert server.seen("POST", "/api/embed") == []


def test_no_texts_need_no_server(run_async: Any):
    with scripted_ollama() as server:
        server.models[MODEL] = {}
        assert run_async(with_embedder(server, lambda e: e.passages([]))).shape == (0, 0)
