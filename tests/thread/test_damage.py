"""Damage on purpose: each way of serving something else than what was trained fails some proof."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.architectures import llama
from converters.gguf.reader import GgufFile
from desktop.core.catalog import starter
from desktop.core.records import read_record
from desktop.jobs.folder import JobFolder
from desktop.jobs.steps.change import file_change
from desktop.jobs.steps.gate import Gate, examine
from desktop.jobs.steps.prove import prove_step
from desktop.jobs.steps.publish import inheritance_of_job
from desktop.jobs.work import Work
from tests.servers.private_ollama import call


def _link(source: str, target: str) -> None:
    os.link(source, target)


@pytest.fixture(scope="module")
def work(tuned, tmp_path_factory) -> Iterator[Work]:
    """The finished job, in a copy of its folder that shares the files."""
    root = tmp_path_factory.mktemp("damage") / tuned.folder.id
    shutil.copytree(tuned.folder.root, root, copy_function=_link)
    with Work(JobFolder(root), lambda _: None, lambda: False) as opened:
        yield opened


@pytest.fixture(scope="module")
def gate(work: Work) -> Gate:
    """The undamaged file's figures."""
    found = examine(work, work.folder.gguf)
    assert found.passes
    return found


@pytest.fixture
def copy_of_file(work: Work, tmp_path: Path) -> Iterator[Path]:
    """A writable copy of the exported file."""
    target = tmp_path / "damaged.gguf"
    shutil.copyfile(work.folder.gguf, target)
    yield target
    target.unlink()


def _delta_proof(work: Work, gate: Gate, file: Path):
    """The proof "delta" of another file of the same job; logits as they were."""
    from finetune.trained import open_trained

    with ExitStack() as stack:
        trained = stack.enter_context(open_trained(work.job.base.path, work.folder.adapter))
        base = stack.enter_context(GgufFile(work.job.base.path))
        damaged = stack.enter_context(GgufFile(file))
        change = file_change(base, damaged, trained.deltas(), lambda: False)
    return replace(gate, change=change).delta()


def _overwrite(file: Path, tensor: str, blocks: np.ndarray) -> None:
    with GgufFile(file) as opened:
        offset = opened.header.data_start + opened.header.tensor(tensor).offset
    with file.open("r+b") as raw:
        raw.seek(offset)
        raw.write(blocks.tobytes())


def test_one_q_tensor_in_the_wrong_row_order_fails(work, gate, copy_of_file):
    name = "blk.7.attn_q.weight"
    with GgufFile(copy_of_file) as opened:
        blocks = opened.blocks(name).copy()
        heads = int(opened.header.number("llama.attention.head_count", 1))
    _overwrite(copy_of_file, name, llama.to_module_rows(blocks, heads))
    proof = _delta_proof(work, gate, copy_of_file)
    assert proof.status == "failed"
    assert name in proof.detail


def test_one_flipped_block_fails(work, gate, copy_of_file):
    name = "blk.20.ffn_up.weight"
    with GgufFile(copy_of_file) as opened:
        blocks = opened.blocks(name).copy()
    blocks[5, 10:14] ^= 0x40
    _overwrite(copy_of_file, name, blocks)
    proof = _delta_proof(work, gate, copy_of_file)
    assert proof.status == "failed"
    assert f"largest error in grid steps ({name})" in proof.detail


def test_one_flipped_byte_in_an_untouched_tensor_fails(work, gate, copy_of_file):
    with GgufFile(copy_of_file) as opened:
        blocks = opened.blocks("token_embd.weight").copy()
    blocks[3, 7] ^= 1
    _overwrite(copy_of_file, "token_embd.weight", blocks)
    proof = _delta_proof(work, gate, copy_of_file)
    assert proof.status == "failed"
    assert "first of them: token_embd.weight" in proof.detail


def _export_other(work: Work, tmp_path: Path, change) -> Path:
    """Export the job's adapter after `change(tensors)` has damaged it."""
    from safetensors.numpy import load_file, save_file

    from converters.export import ExportPlan, export

    folder = tmp_path / "adapter"
    shutil.copytree(work.folder.adapter, folder)
    weights = folder / "adapter_model.safetensors"
    tensors = load_file(weights)
    change(tensors)
    save_file(tensors, weights)
    plan = ExportPlan(work.job.base.path, folder, tmp_path / "other.gguf", type="Q8_0")
    return export(plan, lambda _: None, lambda: False).gguf


def test_an_adapter_at_nine_tenths_of_its_strength_fails(work, gate, tmp_path):
    def weaken(tensors):
        for key in tensors:
            if "lora_B" in key:
                tensors[key] = tensors[key] * np.float32(0.9)

    proof = _delta_proof(work, gate, _export_other(work, tmp_path, weaken))
    assert proof.status == "failed"
    assert "share of the change kept 0.9" in proof.detail
    shutil.rmtree(tmp_path)


def test_an_adapter_that_misses_one_tensor_fails(work, gate, tmp_path):
    def drop(tensors):
        for key in [key for key in tensors if ".layers.3.mlp.up_proj." in key]:
            del tensors[key]

    proof = _delta_proof(work, gate, _export_other(work, tmp_path, drop))
    assert proof.status == "failed"
    assert "trained tensors without their change 1" in proof.detail
    assert "first of them: blk.3.ffn_up.weight" in proof.detail
    shutil.rmtree(tmp_path)


@pytest.mark.slow
def test_an_adapter_that_is_not_applied_fails_both_logits_and_delta(work, gate, tmp_path):
    """Slow: one more export with its proofs, 27 s; a missing tensor is found in `make test`."""
    from converters.export import ExportPlan, export

    plan = ExportPlan(work.job.base.path, None, tmp_path / "plain.gguf")
    plain = export(plan, lambda _: None, lambda: False).gguf
    found = examine(work, plain)
    assert found.logits(None).status == "failed"
    assert "KL base + adapter to file" in found.logits(None).detail
    assert found.delta().status == "failed"
    assert "trained tensors without their change 210" in found.delta().detail
    shutil.rmtree(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "template", "stops", "said"), [
    ("wrong-template", "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}assistant: ",
     ["<|im_end|>"], "differs at character 0"),
    ("wrong-stops", None, ["</s>"], "stop texts are ['</s>'], expected ['<|im_end|>']"),
])
def test_a_wrong_template_or_wrong_stops_fail_the_proof_text(
    work, gate, tuned, name, template, stops, said
):
    """The same file under another template or other stops: the created model is asked."""
    call(tuned.desk.server.url, "/api/create", {
        "model": name, "from": "tickets", "stream": False,
        "template": template or starter().template, "parameters": {"stop": stops},
    })
    report = prove_step(work, work.folder.gguf, name, inheritance_of_job(work), gate)
    assert report.text.status == "failed"
    assert said in report.text.detail
    assert "text" in report.failed


@pytest.mark.slow
def test_a_failed_proof_ends_with_exit_code_4_and_leaves_the_name_alone(tuned, mails):
    """The whole program, told to keep the base's own types: the change is lost, and it says so.

    Slow: a second whole run, a minute and more.
    """
    train, held_out = mails
    ran = tuned.desk.run(
        "tune", "--model", "smollm2:135m", "--data", str(train), "--held-out", str(held_out),
        "--name", "lost", "--epochs", "0.3", "--export-type", "Q5_1", "--task", "text", "--json",
    )
    assert ran.code == 4, ran.err[-2000:]
    result = ran.json
    assert result["model"] == "lost:unproven"
    assert "failed" in {proof["status"] for proof in result["proof"].values()}
    names = [model["name"] for model in call(tuned.desk.server.url, "/api/tags")["models"]]
    assert "lost:unproven" in names
    assert "lost:latest" not in names
    assert "lost is untouched" in ran.err


def test_the_job_folder_of_the_damage_was_a_copy(tuned, work):
    from desktop.proof.report import ProofReport

    assert work.folder.root != tuned.folder.root
    kept = read_record(tuned.folder.artefact("proof.json"), ProofReport)
    assert kept.failed == ()
