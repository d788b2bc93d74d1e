"""What a person has after `tunedesk tune`: a proven model in Ollama and a folder that tells all."""

import json
import shutil
import subprocess

import pytest

from desktop.core.catalog import file_sha256
from desktop.jobs.journal import read_entries
from desktop.jobs.progress import JobView, reduce
from tests.servers.private_ollama import call, find_ollama

KEYS = {
    "job", "model", "gguf", "adapter", "steps", "loss", "score", "drift", "proof", "bytes",
    "seconds",
}


def test_the_result_has_the_keys_that_scripts_rely_on(tuned):
    result = tuned.result
    assert result.keys() == KEYS
    assert result["loss"].keys() == {"first", "last", "held_out_before", "held_out_after"}
    assert result["score"].keys() == {"metric", "before", "after", "few_shot", "rows"}
    assert result["drift"].keys() == {"kl", "texts"}
    assert result["bytes"].keys() == {"base", "model"}
    assert result["proof"].keys() == {"text", "ids", "logits", "delta"}
    for proof in result["proof"].values():
        assert proof.keys() == {"status", "figure", "bound", "detail"}


def test_all_four_proofs_passed_with_their_figures(tuned):
    proof = tuned.result["proof"]
    assert [proof[name]["status"] for name in ("text", "ids", "logits", "delta")] == ["passed"] * 4
    assert proof["text"]["detail"].startswith("44 of 44 rendered conversations equal")
    assert "210 tensors hold the change, 62 are byte-identical" in proof["delta"]["detail"]


def test_the_model_learnt(tuned):
    loss = tuned.result["loss"]
    assert loss["held_out_after"] < loss["held_out_before"] / 3
    assert tuned.result["drift"]["kl"] > 0


def test_standard_output_is_one_json_document_and_progress_goes_beside_it(tuned):
    json.loads(tuned.ran.out)
    assert "90 rows are trained, 20 are only measured." in tuned.ran.err
    assert "tokens/s" in tuned.ran.err
    assert "of memory are needed" in tuned.ran.err


def test_ollama_holds_the_model_under_its_name_and_no_unproven_one(tuned):
    names = [model["name"] for model in call(tuned.desk.server.url, "/api/tags")["models"]]
    assert "tickets:latest" in names
    assert "tickets:unproven" not in names


def test_the_api_answers_as_tuned(tuned):
    answer = call(tuned.desk.server.url, "/api/chat", {
        "model": "tickets", "stream": False, "options": {"temperature": 0},
        "messages": [{"role": "user", "content": "My parcel A-12345 never arrived! Urgent!"}],
    })
    assert json.loads(answer["message"]["content"]).keys() == {"team", "urgency", "order"}
    assert answer["done_reason"] == "stop"


def test_the_real_program_answers_as_tuned(tuned):
    program = find_ollama()
    assert program is not None
    run = subprocess.run(
        [program, "run", "tickets", "My parcel A-12345 never arrived! Urgent!"],
        env={"OLLAMA_HOST": tuned.desk.server.url, "HOME": str(tuned.desk.home), "TERM": "dumb"},
        capture_output=True, text=True, timeout=120, check=True,
    )
    assert '"team"' in run.stdout


def test_the_ollama_package_reads_what_was_inherited(tuned):
    """Another client than ours sees template, stops, parameters and licence of the base."""
    import ollama

    client = ollama.Client(host=tuned.desk.server.url, trust_env=False)
    base, made = client.show("smollm2:135m"), client.show("tickets")
    assert made.template == base.template
    assert made.license == base.license
    assert made.parameters is not None
    assert '"<|im_end|>"' in made.parameters
    client._client.close()


def test_the_blob_is_the_file_of_the_job(tuned):
    from pathlib import Path

    shown = call(tuned.desk.server.url, "/api/show", {"model": "tickets"})
    digest = file_sha256(Path(tuned.result["gguf"]))
    assert f"sha256-{digest}" in shown["modelfile"]
    blob = tuned.desk.server.store / "blobs" / f"sha256-{digest}"
    assert blob.samefile(tuned.result["gguf"])


def test_the_manifest_names_every_artefact_with_its_hash(tuned):
    folder = tuned.folder
    manifest = json.loads((folder.artefacts / "manifest.json").read_text())["files"]
    listed = {
        path.relative_to(folder.artefacts).as_posix()
        for path in folder.artefacts.rglob("*") if path.is_file()
    }
    assert set(manifest) == listed - {"manifest.json"}
    assert {"rows.jsonl", "hard.jsonl", "base.json", "publish.json", "model.gguf", "scores.json",
            "proof.json", "adapter/adapter_model.safetensors"} <= set(manifest)  # fmt: skip
    assert manifest["proof.json"] == file_sha256(folder.artefacts / "proof.json")


def test_the_rows_are_stored_as_the_server_renders_them(tuned):
    first = json.loads((tuned.folder.artefacts / "rows.jsonl").read_text().splitlines()[0])
    assert first.keys() == {"messages", "segments", "hash", "number", "split"}
    (context, learnt), *rest = first["segments"]
    assert not learnt
    assert context.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert [text for text, learnt in rest if learnt][-1] == "<|im_end|>"


def test_the_journal_tells_the_whole_run(tuned):
    entries, _ = read_entries(tuned.folder.events)
    view = JobView()
    for entry in entries:
        view = reduce(view, entry.event)
    assert view.status == "done"
    assert len(view.losses) == tuned.result["steps"]
    assert view.held_out[-1][1] < view.held_out[0][1]
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))


@pytest.mark.slow
def test_verify_makes_the_same_proofs_again(tuned):
    """Slow: all proofs once more, 45 s."""
    ran = tuned.desk.run("verify", "tickets", "--job", tuned.result["job"], "--json")
    assert ran.code == 0, ran.err
    assert {name: proof["status"] for name, proof in ran.json.items()} == dict.fromkeys(
        ("text", "ids", "logits", "delta"), "passed"
    )


def test_the_name_is_taken_now_and_that_is_said_before_any_work(tuned, mails):
    train, held_out = mails
    ran = tuned.desk.run(
        "tune", "--model", "smollm2:135m", "--data", str(train), "--held-out", str(held_out),
        "--name", "tickets", "--json",
    )
    assert ran.code == 1
    assert ran.json["error"]["title"] == "Ollama already has a model named 'tickets:latest'."
    assert "--replace" in ran.json["error"]["hint"]


def test_the_adapter_is_read_by_peft_itself(tuned):
    from safetensors.numpy import load_file

    config = json.loads((tuned.folder.adapter / "adapter_config.json").read_text())
    tensors = load_file(tuned.folder.adapter / "adapter_model.safetensors")
    assert (config["peft_type"], config["r"]) == ("LORA", 16)
    assert len(tensors) == 420


def test_an_export_of_the_adapter_is_the_file_that_was_served(tuned, tmp_path):
    output = tmp_path / "again.gguf"
    ran = tuned.desk.run(
        "export", "--base", "smollm2:135m", "--adapter", str(tuned.folder.adapter),
        "-o", str(output), "--adapter-gguf", "--json",
    )
    assert ran.code == 0, ran.err
    result = ran.json
    assert result["sha256"] == file_sha256(output)
    assert result["tensors"]["touched"] == 210
    assert result["tensors"]["identical"] == 62
    assert result["peak_rss_bytes"] < 700_000_000
    assert file_sha256(output) == file_sha256(tuned.folder.gguf)
    assert output.with_suffix(".adapter.gguf").exists()
    shutil.rmtree(tmp_path)
