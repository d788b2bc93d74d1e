"""The untouched base, rewritten by our writer and published under another name, is the same model.

Ollama killed in the middle of publishing leaves a message and the local file.
"""

import json
import os
import signal
import threading
import time

import numpy as np
import pytest

import resources
from converters.export import ExportPlan, export
from converters.gguf.header import read_header
from desktop.core.catalog import file_sha256
from desktop.engine.child import EngineChild
from desktop.jobs.steps.prove import _vocabulary_keys
from desktop.proof.ids import IdPair, judge_ids
from desktop.proof.logits import divergence
from tests.servers.private_ollama import call, private_ollama


@pytest.fixture(scope="module")
def rewritten(smollm2, tmp_path_factory):
    """SmolLM2 in our canonical layout: other bytes, the same tensors."""
    output = tmp_path_factory.mktemp("rewritten") / "base.gguf"
    plan = ExportPlan(smollm2, None, output)
    yield export(plan, lambda _: None, lambda: False).gguf
    output.unlink()


@pytest.fixture(scope="module")
def twin(desk, rewritten) -> str:
    """The rewritten base in Ollama, like the model it came from."""
    ran = desk.run("import", str(rewritten), "twin", "--like", "smollm2:135m", "--json")
    assert ran.code == 0, ran.err + ran.out
    assert ran.json.keys() == {"model", "digest", "blob_kept", "orphans"}
    assert ran.json["digest"] == file_sha256(rewritten)
    return "twin"


def _rendered(url: str, model: str, messages) -> str:
    body = {"model": model, "messages": messages, "_debug_render_only": True, "stream": False}
    return call(url, "/api/chat", body)["_debug_info"]["rendered_template"]


def test_text_all_hard_conversations_render_alike(desk, twin):
    conversations = json.loads(resources.path("hard_conversations.json").read_text())
    url = desk.server.url
    renders = {
        name: [_rendered(url, name, one["messages"]) for one in conversations]
        for name in ("smollm2:135m", twin)
    }
    assert len(conversations) == 24
    assert renders[twin] == renders["smollm2:135m"]


def test_ids_the_file_reads_every_hard_string_alike(smollm2, rewritten):
    strings = json.loads(resources.path("hard_strings.json").read_text())
    with (
        EngineChild(smollm2, vocab_only=True) as base,
        EngineChild(rewritten, vocab_only=True) as file,
    ):
        pairs = [
            IdPair(name=str(at), trained=tuple(ours), exported=tuple(theirs))
            for at, (ours, theirs) in enumerate(
                zip(base.tokenize(strings), file.tokenize(strings), strict=True)
            )
        ]
    keys = _vocabulary_keys(smollm2)
    assert judge_ids(keys, _vocabulary_keys(rewritten), pairs, None).status == "passed"


def test_logits_are_equal_to_the_last_bit(smollm2, rewritten):
    ids = list(range(100, 140))
    with EngineChild(smollm2) as base, EngineChild(rewritten) as file:
        first, second = base.log_probs(ids, 1), file.log_probs(ids, 1)
    assert np.array_equal(first, second)
    assert divergence(first, second) == 0.0


def test_it_chats_the_same(desk, twin):
    def answer(model):
        return call(desk.server.url, "/api/chat", {
            "model": model, "stream": False, "options": {"temperature": 0, "num_predict": 24},
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
        })["message"]["content"]

    assert answer(twin) == answer("smollm2:135m")


def test_every_tensor_is_the_bases_and_the_layout_is_canonical(smollm2, rewritten):
    base, ours = read_header(smollm2), read_header(rewritten)
    assert {info.name: info.n_bytes for info in base.tensors} == {
        info.name: info.n_bytes for info in ours.tensors
    }
    assert list(ours.metadata)[-2:] == ["general.quantization_version", "general.file_type"]


@pytest.mark.slow
def test_an_import_without_a_model_to_be_like_keeps_the_files_own_template(desk, smollm2):
    """SmolLM2's Jinja is near to one that Ollama knows: unprotected, its system text goes.

    Slow: an import with its proofs, 27 s.
    """
    ran = desk.run("import", str(smollm2), "alone", "--json")
    assert ran.code == 0, ran.err + ran.out
    assert "A copy that is protected" in ran.err
    conversations = json.loads(resources.path("hard_conversations.json").read_text())
    url = desk.server.url
    for one in conversations:
        assert _rendered(url, "alone", one["messages"]) == _rendered(
            url, "smollm2:135m", one["messages"]
        )
    assert not list(desk.home.rglob("import/*"))


def test_chat_once_prints_the_keys_that_scripts_rely_on(desk, twin):
    ran = desk.run("chat", twin, "--once", "Say hello.", "--json")
    assert ran.code == 0, ran.err
    assert ran.json.keys() == {
        "answer", "stop_reason", "prompt_tokens", "answer_tokens", "seconds"
    }
    assert ran.json["answer"]


def test_the_modelfile_prints_what_ollama_reads(desk, twin):
    ran = desk.run("modelfile", twin)
    assert ran.code == 0, ran.err
    assert "PARAMETER stop <|im_end|>" in ran.out
    assert ran.out.startswith("FROM /")


def test_doctor_and_models_print_their_keys(desk, twin):
    doctor = desk.run("doctor", "--json").json
    assert doctor.keys() == {"ollama", "engine", "gpu", "disk", "python", "packages", "advice"}
    assert doctor["ollama"].keys() == {
        "running", "version", "host", "store", "store_readable", "store_writable"
    }
    assert doctor["ollama"]["version"] == "0.34.4"
    (row,) = [row for row in desk.run("models", "--json").json if row["name"] == "twin:latest"]
    assert row.keys() == {
        "name", "digest", "family", "parameters", "quantization", "bytes", "trainable", "reason",
        "fits", "needed_bytes",
    }


def test_ollama_killed_during_the_upload_is_said_and_the_file_is_kept(tmp_path, smollm2, desk):
    """A server of its own, killed as soon as the first bytes of the upload are in its store."""
    with private_ollama() as server:
        def kill_at_first_bytes():
            blobs = server.store / "blobs"
            deadline = time.monotonic() + 30
            while not (blobs.is_dir() and any(blobs.iterdir())) and time.monotonic() < deadline:
                time.sleep(0.001)
            os.kill(server.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_at_first_bytes)
        killer.start()
        ran = type(desk)(tmp_path, server).run(
            "import", str(smollm2), "gone", "--engine", "ollama", "--json"
        )
        killer.join()
    assert ran.code == 1, ran.err
    error = ran.json["error"]
    assert "kept" in error["detail"]
    assert str(smollm2) in error["detail"]
    assert smollm2.stat().st_size == 98_362_432
