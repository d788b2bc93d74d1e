"""The same thread where no Ollama runs: tuned, proven as far as possible, and answered."""

import json
import shutil

import pytest

from desktop.core.catalog import starter
from tests.thread.conftest import Desk

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_tune_prove_and_chat_without_ollama(desk, mails, smollm2, tmp_path_factory):
    """Slow: a second real training run, about a minute and a half."""
    alone = Desk(tmp_path_factory.mktemp("alone"), desk.server)
    train, held_out = mails
    model = starter().name
    imported = alone.run("import", str(smollm2), model, "--json", OLLAMA_HOST=NOWHERE)
    assert imported.code == 0, imported.err
    ran = alone.run(
        "tune", "--model", model, "--data", str(train), "--held-out", str(held_out),
        "--name", "tickets", "--epochs", "1", "--json", OLLAMA_HOST=NOWHERE,
    )
    assert ran.code == 0, ran.err[-3000:] + ran.out
    proof = ran.json["proof"]
    assert {name: one["status"] for name, one in proof.items()} == {
        "text": "skipped", "ids": "passed", "logits": "passed", "delta": "passed",
    }
    assert "no server" in proof["text"]["detail"]
    assert "left out: no server" in proof["ids"]["detail"]
    listed = [row["name"] for row in alone.run("models", "--json", OLLAMA_HOST=NOWHERE).json]
    assert listed == [model, "tickets"]
    answer = alone.run(
        "chat", "tickets", "--once", "My parcel A-12345 never arrived! Urgent!", "--json",
        OLLAMA_HOST=NOWHERE,
    ).json
    assert json.loads(answer["answer"]).keys() == {"team", "urgency", "order"}
    again = alone.run("verify", "tickets", "--job", ran.json["job"], "--json", OLLAMA_HOST=NOWHERE)
    assert again.code == 0, again.err
    shutil.rmtree(alone.home)
