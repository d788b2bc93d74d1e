"""The engine child on the real SmolLM2: its answers, its limits, and every way it can end."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from converters.adapter import read_adapter, write_gguf_adapter
from converters.children.process import child_environment
from converters.errors import Stopped, UserError
from converters.gguf.damage import GgufDamaged
from converters.gguf.header import TensorType, read_header
from converters.llama.scorer import Scorer
from desktop.engine.child import EngineChild, Limits
from tests.converters.peft_folders import linear_tensors, random_folder
from tests.converters.small_models import made_model

_PROMPT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
_ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture(scope="module")
def child(smollm2: Path) -> Iterator[EngineChild]:
    with EngineChild(smollm2, n_ctx=512) as opened:
        yield opened


@pytest.fixture(scope="module")
def prompt(child: EngineChild) -> list[int]:
    return child.tokenize([_PROMPT])[0]


# -- what it answers -------------------------------------------------------------------------


def test_the_vocabulary_is_described(child: EngineChild) -> None:
    info = child.vocabulary()
    assert (info.n_vocab, info.bos, info.eos, info.eot, info.add_bos) == (49152, 1, 2, 0, False)
    assert {info.text(token) for token in info.end_tokens} >= {"<|im_end|>", "<|endoftext|>"}
    assert info.text(None) == ""


def test_texts_become_ids_and_come_back(child: EngineChild) -> None:
    hi, plain = child.tokenize(["<|im_start|>user\nhi<|im_end|>", ("<|im_end|>", False)])
    assert hi == [1, 4093, 198, 6004, 2]
    assert plain != [2]
    assert child.detokenize([hi, plain]) == ["<|im_start|>user\nhi<|im_end|>", "<|im_end|>"]


def test_every_token_has_its_bytes(child: EngineChild) -> None:
    pieces = child.pieces()
    assert len(pieces) == 49152
    assert pieces[2] == b"<|im_end|>"
    assert pieces[6004] == b"hi"
    assert "é".encode()[:1] in pieces  # bytes that are no text of their own


def test_distributions_are_the_scorers_own_bit_for_bit(
    child: EngineChild, prompt: list[int], smollm2: Path
) -> None:
    with Scorer(smollm2, n_ctx=512) as scorer:
        expected = scorer.log_probs(prompt, 9)
    scored = child.log_probs(prompt, 9)
    assert scored.dtype == np.float32
    np.testing.assert_array_equal(scored, expected)
    logits = child.logits_async(prompt, 9).result()
    np.testing.assert_array_equal(logits.argmax(axis=1), expected.argmax(axis=1))


def test_calls_may_be_sent_ahead(child: EngineChild, prompt: list[int]) -> None:
    ahead = [child.log_probs_async(prompt, start) for start in (2, 5, 8)]
    assert [pending.result().shape[0] for pending in ahead] == [len(prompt) - n for n in (2, 5, 8)]


def test_greedy_answers_alone_and_together(child: EngineChild, prompt: list[int]) -> None:
    answer = child.greedy(prompt, 12)
    assert child.detokenize([answer]) == ["The capital of France is Paris.<|im_end|>"]
    assert child.greedy_many([prompt, prompt], 12) == [answer, answer]
    assert child.greedy_many([prompt], 3, batched=False) == [answer[:3]]


def test_an_answer_is_streamed(child: EngineChild, prompt: list[int]) -> None:
    pieces: list[str] = []
    answer = child.answer(prompt, 20, options={"temperature": 0}, on_text=pieces.append)
    assert answer.text == "".join(pieces) == "The capital of France is Paris."
    assert len(pieces) > 3
    assert (answer.stop_reason, answer.prompt_tokens, len(answer.ids)) == ("stop", len(prompt), 7)


def test_an_answer_ends_before_its_stop_text(child: EngineChild, prompt: list[int]) -> None:
    options = {"temperature": 0}
    answer = child.answer(prompt, 20, stops=["France is"], options=options)
    assert (answer.text, answer.stop_reason) == ("The capital of ", "stop")
    assert child.answer(prompt, 2, options=options).stop_reason == "length"


def test_an_answer_is_stopped_by_the_person(child: EngineChild, prompt: list[int]) -> None:
    pieces: list[str] = []
    answer = child.answer(
        prompt, 400, options={"seed": 1, "temperature": 3.0, "top_k": 0, "top_p": 1.0},
        on_text=pieces.append, should_stop=lambda: len(pieces) >= 2,
    )  # fmt: skip
    assert answer.stop_reason == "stopped"
    assert len(answer.ids) < 100
    assert child.tokenize(["hi"]) == [[6004]]  # it goes on serving


def test_too_long_a_prompt_is_refused_and_the_child_lives(child: EngineChild) -> None:
    with pytest.raises(UserError) as caught:
        child.greedy([5] * 600, 4)
    assert caught.value.title == "The text does not fit the model's context"
    assert "604 tokens" in caught.value.detail
    assert child.tokenize(["hi"]) == [[6004]]


def test_a_template_is_rendered_in_the_child(child: EngineChild) -> None:
    text = child.render(
        "{{ bos_token }}{{ messages[0]['content'] }}{% if add_generation_prompt %}>{% endif %}",
        [{"role": "user", "content": "naïve"}], bos="<s>", add_generation_prompt=True,
    )  # fmt: skip
    assert text == "<s>naïve>"


# -- how it ends -----------------------------------------------------------------------------


def test_an_endless_template_is_ended_after_its_limit(smollm2: Path) -> None:
    with EngineChild(smollm2, vocab_only=True, limits=Limits(template_s=0.3)) as child:
        begun = time.monotonic()
        with pytest.raises(UserError) as caught:
            child.render(_ENDLESS, [])
        assert time.monotonic() - begun < 1.5
        assert caught.value.title == "The chat template could not be used"
        assert "more than 0.3 s" in caught.value.detail
        with pytest.raises(UserError):
            child.tokenize(["gone"])


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts all memory only on Linux")
def test_a_template_that_eats_memory_is_refused_and_the_child_lives(smollm2: Path) -> None:
    with EngineChild(smollm2, vocab_only=True) as child:
        with pytest.raises(UserError) as caught:
            child.render("{{ 'a' * 3000000000 }}", [])
        assert "MemoryError" in caught.value.detail
        assert child.tokenize(["hi"]) == [[6004]]


def test_an_answer_that_never_comes_is_a_user_error(smollm2: Path) -> None:
    with EngineChild(smollm2, n_ctx=512, limits=Limits(reply_s=20)) as child:
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(UserError) as caught:
            child.log_probs_async([5] * 9, 1).result(0.2)
        assert caught.value.title == "The model took too long"


def test_silence_counts_from_the_question_on(child: EngineChild, prompt: list[int]) -> None:
    child._connection.last_reply -= 1000  # as after an idle quarter of an hour
    fresh = [*prompt, *range(300, 400)]  # long enough to be looked at before its first token
    assert child.answer(fresh, 1, options={"temperature": 0}).stop_reason == "length"


def test_a_damaged_file_is_refused_before_libllama_sees_it(
    smollm2: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\xff" * 64)
    with pytest.raises(GgufDamaged):
        EngineChild(broken)
    with pytest.raises(GgufDamaged):
        EngineChild(smollm2, lora=broken)


def test_flipped_bits_end_in_a_user_error_or_in_a_model(smollm2: Path, tmp_path: Path) -> None:
    """Bits of the first numbers and of the tensors' places; this process outlives all of them."""
    flipped, chance = tmp_path / "flipped.gguf", np.random.default_rng(1)
    shutil.copyfile(smollm2, flipped)
    whole, end = smollm2.read_bytes(), read_header(smollm2).data_start
    ends: set[object] = set()
    for at in (*chance.integers(24, 3000, 30), *chance.integers(end - 14000, end, 30)):
        _overwrite(flipped, at, bytes([whole[at] ^ 1 << int(chance.integers(8))]))
        try:
            with EngineChild(flipped, n_ctx=64) as child:
                ends.add(child.log_probs([1, 2, 3], 1).shape)
        except UserError as error:
            ends.add(error.title)
        _overwrite(flipped, at, whole[at : at + 1])
    assert ends == {
        (2, 49152), "The model file is damaged or no GGUF.", "The model file could not be used"
    }  # fmt: skip


def _overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_an_adapter_of_another_model_is_refused(smollm2: Path, tmp_path: Path) -> None:
    other = made_model(tmp_path / "other.gguf", TensorType.F32)
    folder = random_folder(tmp_path / "adapter", other, linear_tensors(other))
    header, lora = read_header(other), tmp_path / "lora.gguf"
    write_gguf_adapter(lora, read_adapter(folder, header), header)
    with pytest.raises(UserError) as caught:
        EngineChild(smollm2, lora=lora)
    assert caught.value.title == "The model file could not be used"
    assert f"{lora}: The adapter does not fit the model." in caught.value.detail


def test_an_adapter_changes_what_the_child_says(
    child: EngineChild, prompt: list[int], smollm2: Path, tmp_path: Path
) -> None:
    folder = random_folder(
        tmp_path / "adapter", smollm2, linear_tensors(smollm2, ["attn_q", "attn_v"]), change=0.2
    )
    header, lora = read_header(smollm2), tmp_path / "lora.gguf"
    write_gguf_adapter(lora, read_adapter(folder, header), header)
    with EngineChild(smollm2, lora=lora, n_ctx=512) as tuned:
        found = tuned.log_probs(prompt, 5)
    base = child.log_probs(prompt, 5)
    assert (np.exp(base) * (base - found)).sum(axis=1).mean() > 0.01


def test_a_file_that_libllama_refuses_says_why(smollm2: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(smollm2.read_bytes().replace(b"llama.block_count", b"llama.block_cOUNT", 1))
    with pytest.raises(UserError) as caught:
        EngineChild(wrong)
    assert caught.value.title == "The model file could not be used"
    assert "llama.block_count" in caught.value.detail


def test_a_native_abort_becomes_a_user_error(smollm2: Path) -> None:
    with EngineChild(smollm2, vocab_only=True) as child:
        os.kill(child.pid, signal.SIGABRT)
        with pytest.raises(UserError) as caught:
            child.tokenize(["x"])
        assert caught.value.title == "The built-in engine ended"
        assert str(smollm2) in caught.value.detail
        assert "SIGABRT" in caught.value.detail


def test_a_child_that_revives_answers_again_after_it_was_killed(smollm2: Path) -> None:
    with EngineChild(smollm2, vocab_only=True, revives=True) as child:
        ids = child.tokenize(["An owl."])
        killed = child.pid
        os.kill(killed, signal.SIGKILL)
        with suppress(UserError):  # raised unless the end was noticed before
            child.tokenize(["An owl."])
        assert child.tokenize(["An owl."]) == ids
        assert child.pid != killed


def test_a_child_killed_at_work_is_told_at_once(smollm2: Path) -> None:
    with EngineChild(smollm2, n_ctx=2048) as child:
        pending = child.greedy_async([[5] * 900], 1000)
        time.sleep(0.3)
        begun = time.monotonic()
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(UserError) as caught:
            pending.result()
        assert time.monotonic() - begun < 2
        assert "mostly for want of memory" in caught.value.detail
        assert "shorter context" in caught.value.hint


def test_noise_goes_to_the_log_and_not_to_the_terminal(
    smollm2: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "engine.log"
    with EngineChild(smollm2, vocab_only=True, log=log) as child:
        os.kill(child.pid, signal.SIGABRT)
        with pytest.raises(UserError):
            child.tokenize(["x"])
    assert "Fatal Python error: Aborted" in log.read_text()
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_close_ends_a_busy_child_at_once(smollm2: Path) -> None:
    child = EngineChild(smollm2, n_ctx=2048)
    pending = child.greedy_async([[5] * 900], 1000)
    time.sleep(0.3)
    begun = time.monotonic()
    child.close()
    assert time.monotonic() - begun < 1
    assert not _is_alive(child.pid)
    with pytest.raises(Stopped):
        pending.result()
    child.close()  # a second time is harmless


def test_the_thread_that_opened_a_child_may_end_first(smollm2: Path) -> None:
    opened: list[EngineChild] = []
    thread = threading.Thread(
        target=lambda: opened.append(EngineChild(smollm2, vocab_only=True))
    )
    thread.start()
    thread.join()
    with opened[0] as child:
        assert child.tokenize(["hi"]) == [[6004]]


_PARENT = """
import sys, time
from pathlib import Path
from desktop.engine.child import EngineChild
child = EngineChild(Path(sys.argv[1]), n_ctx=2048)
pending = child.greedy_async([[5] * 900], 1000)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_killed_parent_takes_its_busy_child_along(smollm2: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(smollm2)], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _is_alive(pid)
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 3
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_alive(pid)


def test_a_child_inherits_no_secret_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HTTPS_PROXY", "http_proxy", "LD_PRELOAD", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "secret")
    environment = child_environment()
    assert "secret" not in environment.values()
    assert environment["HF_HUB_OFFLINE"] == "1"


def _is_alive(pid: int) -> bool:
    """Running, not a zombie that waits for its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
