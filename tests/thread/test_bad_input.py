"""What a person reads when the input is wrong: a title, a cause with numbers, one next step."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from converters.gguf.header import ValueType
from converters.gguf.tensor_types import TensorType
from converters.gguf.writer import TensorPlan, encode_field, write_gguf
from desktop.jobs.folder import JobFolder
from tests.servers.private_ollama import call, with_model

MODEL = "smollm2:135m"


def _error(ran) -> dict[str, str]:
    assert ran.code == 1, (ran.code, ran.out, ran.err[-1500:])
    error = ran.json["error"]
    assert error.keys() == {"title", "detail", "hint"}
    assert "Traceback" not in ran.err
    return error


def _tune(desk, data, *words, model=MODEL, name="new"):
    return desk.run(
        "tune", "--model", model, "--data", str(data), "--name", name, "--json", *words
    )


def _rows(path: Path, *lines: str, encoding="utf-8") -> Path:
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def _row(n: int) -> str:
    return json.dumps({"prompt": f"question {n}", "completion": f"answer {n}"})


def test_f9_ollama_that_does_not_run_is_named_with_its_address(desk):
    ran = desk.run("models", "--engine", "ollama", "--json", OLLAMA_HOST="http://127.0.0.1:9")
    error = _error(ran)
    assert "not running" in error["title"]
    assert "127.0.0.1:9" in error["title"] + error["detail"]


def test_without_ollama_the_built_in_engine_is_used_and_that_is_said(desk):
    ran = desk.run("models", OLLAMA_HOST="http://127.0.0.1:9")
    assert ran.code == 0
    assert "No Ollama answers at http://127.0.0.1:9, so the built-in engine is used." in ran.out


def test_an_unknown_model(desk, mails):
    error = _error(_tune(desk, mails[0], model="nobody:7b"))
    assert "nobody:7b" in error["title"]


def test_a_hostile_name_is_refused_before_any_work(desk, mails):
    ran = _tune(desk, mails[0], name="../../etc/passwd")
    assert "../../etc/passwd" in _error(ran)["detail"]
    assert not list(desk.home.rglob("*passwd*"))


def test_several_wrong_options_are_listed_at_once(desk, mails):
    error = _error(_tune(desk, mails[0], "--rank", "0", "--learning-rate", "7", "--method", "x"))
    assert error["title"] == "The specification has 3 problems."
    for word in ("rank", "learning_rate", "method"):
        assert word in error["detail"]


def test_a_missing_data_file(desk, tmp_path):
    assert "no.jsonl" in _error(_tune(desk, tmp_path / "no.jsonl"))["detail"]


def test_an_empty_data_file(desk, tmp_path):
    error = _error(_tune(desk, _rows(tmp_path / "empty.jsonl")))
    assert error["title"] == "The data file has no rows."


def test_f21_a_file_of_broken_lines_is_explained_line_by_line(desk, tmp_path):
    error = _error(_tune(desk, _rows(tmp_path / "bad.jsonl", "{broken", '{"a": 1}', "[]")))
    assert error["title"] == "No row of the data file can be used."
    for words in ("line 1: not JSON", "line 2: neither", "line 3: a JSON list"):
        assert words in error["detail"]


def test_f21_rejected_rows_are_counted_and_the_others_kept(desk, tmp_path):
    lines = [_row(n) for n in range(30)]
    lines[4] = "{broken"
    data = _rows(tmp_path / "some.jsonl", *lines)
    ran = desk.run("inspect", str(data), "--model", MODEL, "--json")
    assert ran.code == 0, ran.err
    value = ran.json
    assert (value["rows"], value["accepted"]) == (30, 29)
    assert value["rejected"][0]["row"] == 5
    assert value["rows"] == value["accepted"] + len(value["rejected"])


def test_f21_another_encoding_is_read_or_named(desk, tmp_path):
    lines = [json.dumps({"prompt": f"Größe {n}", "completion": "ä"}, ensure_ascii=False)
             for n in range(10)]  # fmt: skip
    utf16 = _rows(tmp_path / "utf16.jsonl", *lines, encoding="utf-16")
    latin = _rows(tmp_path / "latin.jsonl", *lines, encoding="latin-1")
    assert desk.run("inspect", str(utf16), "--model", MODEL, "--json").json["accepted"] == 10
    error = _error(desk.run("inspect", str(latin), "--model", MODEL, "--json"))
    assert "UTF-8" in error["detail"] or "utf-8" in error["detail"]


def test_f22_one_line_of_100_mb_is_refused_with_its_number(desk, tmp_path):
    data = tmp_path / "huge.jsonl"
    with data.open("w") as file:
        file.writelines(_row(n) + "\n" for n in range(10))
        file.write('{"prompt": "' + "x" * 100_000_000 + '", "completion": "y"}\n')
    value = desk.run("inspect", str(data), "--model", MODEL, "--json").json
    assert (value["accepted"], len(value["rejected"])) == (10, 1)
    assert value["rejected"][0]["row"] == 11
    data.unlink()


def test_f23_rows_that_are_all_too_long(desk, tmp_path):
    lines = [json.dumps({"prompt": f"{n} " + "word " * 400, "completion": "x"}) for n in range(20)]
    ran = _tune(desk, _rows(tmp_path / "long.jsonl", *lines), "--max-tokens", "64")
    assert _error(ran)["title"] == "No training row fits the limit of 64 tokens."


def test_columns_that_are_not_there(desk, tmp_path):
    data = _rows(tmp_path / "table.csv", "question,reply", "a,b", "c,d")
    error = _error(desk.run("inspect", str(data), "--model", MODEL, "--json"))
    assert "question" in error["detail"]
    mapped = desk.run("inspect", str(_rows(
        tmp_path / "mapped.csv", "question,reply", *(f"q{n},r{n % 2}" for n in range(20))
    )), "--model", MODEL, "--map", "prompt=question,completion=reply", "--json")  # fmt: skip
    assert (mapped.code, mapped.json["accepted"], mapped.json["task"]) == (0, 20, "labels")


def test_an_unsupported_architecture_is_named_with_those_that_are(desk, tmp_path, mails):
    gguf = _tiny(tmp_path / "other.gguf", architecture="stablelm")
    with_model(desk.server, gguf, "other")
    error = _error(_tune(desk, mails[0], model="other"))
    assert '"stablelm" is not supported yet (only llama)' in error["detail"]
    listed = {row["name"]: row for row in desk.run("models", "--json").json}
    assert listed["other:latest"]["trainable"] is False
    assert "stablelm" in listed["other:latest"]["reason"]
    assert listed[MODEL]["trainable"] is True
    assert listed[MODEL]["needed_bytes"] > 500_000_000


def test_f19_a_blob_damaged_in_the_store_is_named_and_hides_no_other_model(desk, tmp_path, mails):
    gguf = _tiny(tmp_path / "zeroed.gguf", architecture="llama")
    digest = with_model(desk.server, gguf, "zeroed")
    blob = desk.server.store / "blobs" / f"sha256-{digest}"
    size = blob.stat().st_size
    blob.unlink()
    blob.write_bytes(bytes(size))
    error = _error(_tune(desk, mails[0], model="zeroed"))
    assert "zeroed" in error["title"] + error["detail"]
    listed = {row["name"]: row for row in desk.run("models", "--json").json}
    assert listed["zeroed:latest"]["trainable"] is False
    assert listed["zeroed:latest"]["reason"]
    assert listed[MODEL]["trainable"] is True


def test_a_damaged_file_is_refused_before_it_is_imported(desk, tmp_path, smollm2):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(smollm2.read_bytes()[:50_000_000])
    error = _error(desk.run("import", str(cut), "cut", "--json"))
    assert "cut.gguf" in error["title"] + error["detail"]


def test_no_free_disk_is_said_with_both_sizes_before_the_start(desk, mails, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(small)],
        capture_output=True, check=False,
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        ran = _tune(type(desk)(small, desk.server), mails[0])
        error = _error(ran)
        assert error["title"] == "There is not enough disk space for the run."
        assert "are needed in" in error["detail"]
        assert "63 MB are free" in error["detail"]
        assert not list(small.rglob("spec.json"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def _tiny(path: Path, architecture: str) -> Path:
    fields = [
        encode_field("general.architecture", ValueType.STRING, architecture),
        encode_field("general.quantization_version", ValueType.UINT32, 2),
        encode_field("general.file_type", ValueType.UINT32, 0),
    ]
    data = bytes(4 * 64)
    plan = TensorPlan("token_embd.weight", (2, 32), TensorType.F32, lambda: data)
    write_gguf(path, fields, [plan])
    return path


# A process that was started in the background (CI) inherits that Ctrl-C is ignored.
_AS_IN_A_TERMINAL = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from desktop.cli import main; main()"
)


@pytest.mark.parametrize(
    "stage", ["render", "score the base", pytest.param("train", marks=pytest.mark.slow)]
)
def test_ctrl_c_ends_with_exit_code_3_and_keeps_what_was_finished(desk, mails, stage):
    """Slow in the training, 33 s; `test_survival` stops and resumes one there."""
    train, held_out = mails
    name = f"stopped-{stage.split()[0]}"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _AS_IN_A_TERMINAL, "tune", "--model", MODEL, "--data",
         str(train), "--held-out", str(held_out), "--name", name, "--home", str(desk.home),
         "--json"],
        env=os.environ | {"OLLAMA_HOST": desk.server.url}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    texts = {"render": "prepare the rows", "train": "train  "}
    wanted = texts.get(stage, stage)
    for line in process.stderr:
        if line.startswith(wanted):
            break
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=60)
    finally:  # a failure must not leave a training run behind
        process.kill()
        for folder in (desk.home / "jobs").glob(f"*-{name}"):
            JobFolder(folder).ask_to_stop()
    assert process.returncode == 3, (out, err[-2000:])
    assert time.monotonic() - pressed < 20
    assert json.loads(out)["error"]["title"] == "Stopped."
    (folder,) = (desk.home / "jobs").glob(f"*-{name}")
    assert (folder / "artefacts" / "adapter" / "adapter_model.safetensors").exists() == (
        stage == "train"
    )
    assert not list(folder.rglob("*.partial"))
    names = {model["name"] for model in call(desk.server.url, "/api/tags")["models"]}
    assert not any(name in held for held in names)
    shutil.rmtree(folder)
