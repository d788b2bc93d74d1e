"""Training on the CPU: plain transformers + peft, our dense 16-bit form, and our blocks.

    python -m tests.benchmarks.bench_training [--steps 12] [--base FILE.gguf]

Three processes with one thread each take their steps in turn, on the same rows of
`resources/samples` with the same schedule and the same loss on answer tokens alone. `plain` is
what a careful script does: the dequantised model in bfloat16, padded batches, sdpa attention,
logits of the answers only. Ours is the product's own loop, `finetune.train.run`.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from converters.peak_memory import peak_rss_bytes
from finetune.data.segments import TokenRow

WANTED = {"16bit to plain": 1.0, "blocks to 16bit": 0.85, "loss": 0.01}
SIDES = ("plain", "16bit", "blocks")
UNMEASURED = 2
LEARNING_RATE, RANK, ALPHA = 1e-3, 16, 32.0
# The plan's rows: about the median of the sample mails.
ROW_TOKENS = 128


def main() -> None:
    """Run the three sides in turn and print the figures side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        _take_steps(given.side, given.base, _stored(given.rows), given.steps)
        return
    with tempfile.TemporaryDirectory() as name:
        base, rows = given.base or _starter(), Path(name) / "rows.json"
        _store(rows, _chatml_rows(base))
        _compare(base, rows, given.steps)


# The parent: turns and figures


def _compare(base: Path, rows: Path, steps: int) -> None:
    with ExitStack() as stack:
        children = {side: stack.enter_context(_child(side, base, rows, steps)) for side in SIDES}
        starts = {side: _line(child) for side, child in children.items()}
        turns: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(steps):
            for side, child in children.items():
                turns[side].append(_turn(child))
        ends = {side: _turn(child) for side, child in children.items()}
    _print_versions()
    rates = {side: _rates(turns[side]) for side in SIDES}
    print(f"{steps} steps, the first {UNMEASURED} unmeasured; {starts['plain']['rows']:.0f} rows")
    print(f"{'':8}{'tokens/CPU-s':>14}{'first loss':>12}{'last loss':>11}"
          f"{'peak above imports MB':>23}")  # fmt: skip
    for side in SIDES:
        losses = [turn["loss"] for turn in turns[side]]
        above = (ends[side]["peak"] - starts[side]["imported"]) / 1e6
        print(f"{side:8}{statistics.mean(rates[side]):14.1f}{losses[0]:12.4f}{losses[-1]:11.4f}"
              f"{above:23.0f}")  # fmt: skip
    _print_ratio("16bit", "plain", turns)
    _print_ratio("blocks", "16bit", turns)
    _print_losses(turns)
    _print_plan(base, ends["blocks"], starts["blocks"])


def _print_ratio(ours: str, theirs: str, turns: dict[str, list[dict[str, float]]]) -> None:
    pairs = zip(turns[ours][UNMEASURED:], turns[theirs][UNMEASURED:], strict=True)
    ratios = sorted(other["cpu"] / own["cpu"] for own, other in pairs)
    total = _cpu(turns[theirs]) / _cpu(turns[ours])
    print(f"{ours} to {theirs}: {total:.2f} (single steps {ratios[0]:.2f} to {ratios[-1]:.2f}; "
          f"wanted: at least {WANTED[f'{ours} to {theirs}']})")  # fmt: skip


def _print_losses(turns: dict[str, list[dict[str, float]]]) -> None:
    for side in SIDES[1:]:
        pairs = [(a["loss"], b["loss"]) for a, b in zip(turns[side], turns["plain"], strict=True)]
        mean = sum(a for a, _ in pairs) / sum(b for _, b in pairs) - 1
        widest = max(abs(a / b - 1) for a, b in pairs)
        print(f"loss curve of {side} to plain: {mean:+.2%} over all steps (wanted: within "
              f"{WANTED['loss']:.0%}); widest single step {widest:.2%}")  # fmt: skip
    curves = {side: [round(turn["loss"], 3) for turn in turns[side]] for side in SIDES}
    print("\n".join(f"  {side:7}{curve}" for side, curve in curves.items()))


def _print_plan(base: Path, end: dict[str, float], start: dict[str, float]) -> None:
    from converters.gguf.header import read_header  # noqa: PLC0415
    from finetune.plan import (  # noqa: PLC0415
        PROGRAM_BYTES,
        MemoryCase,
        MicroBatch,
        memory_terms,
    )

    widest = int(end["widest"])
    batch = MicroBatch((ROW_TOKENS,) * (widest // ROW_TOKENS), widest // 4)
    terms = memory_terms(read_header(base), MemoryCase(batch, RANK))
    planned = sum(term.bytes for term in terms)
    print(f"plan of blocks at {end['widest']:.0f} tokens a pass: "
          + ", ".join(f"{term.name} {term.bytes / 1e6:.0f}" for term in terms) + " MB")  # fmt: skip
    above = end["peak"] - start["imported"]
    print(f"planned {planned / 1e6:.0f} MB, measured peak {end['peak'] / 1e6:.0f} MB "
          f"({planned / end['peak']:.2f}); above the imports planned "
          f"{(planned - PROGRAM_BYTES) / 1e6:.0f}, measured {above / 1e6:.0f} MB "
          f"({(planned - PROGRAM_BYTES) / above:.2f})")  # fmt: skip


def _rates(turns: list[dict[str, float]]) -> list[float]:
    return [turn["tokens"] / turn["cpu"] for turn in turns[UNMEASURED:]]


def _cpu(turns: list[dict[str, float]]) -> float:
    return sum(turn["cpu"] for turn in turns[UNMEASURED:])


def _child(side: str, base: Path, rows: Path, steps: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.benchmarks.bench_training", "--side", side,
               "--base", str(base), "--rows", str(rows), "--steps", str(steps)]  # fmt: skip
    quiet = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **quiet}
    )


def _turn(child: "subprocess.Popen[str]") -> dict[str, float]:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    return _line(child)


def _line(child: "subprocess.Popen[str]") -> dict[str, float]:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise SystemExit(f"a side ended early with code {child.wait()}")
    return json.loads(line)


def _print_versions() -> None:
    names = ("torch", "transformers", "peft")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    print(f"Python {platform.python_version()}, {versions}; {platform.processor() or 'CPU'}")


# The rows


def _starter() -> Path:
    from tests.servers.starter import starter_gguf  # noqa: PLC0415

    return starter_gguf()


def _chatml_rows(base: Path) -> list[TokenRow]:
    """The sample mails as SmolLM2's template renders them, default system prompt included."""
    from desktop.engine.child import EngineChild  # noqa: PLC0415
    from finetune.data.rows import read_rows  # noqa: PLC0415
    from finetune.data.segments import Segment, SegmentRow, limit, token_rows  # noqa: PLC0415

    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    rows = []
    samples = Path(__file__).parents[2] / "resources" / "samples" / "customer_mail_train.jsonl"
    for row in read_rows(samples).accepted:
        mail, answer = row.messages
        context = (f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{mail.content}"
                   "<|im_end|>\n<|im_start|>assistant\n")  # fmt: skip
        pieces = (Segment(context, False), Segment(f"{answer.content}<|im_end|>", True))
        rows.append(SegmentRow(pieces, row.hash, row.number))
    with EngineChild(base, vocab_only=True) as child:
        return list(limit(token_rows(rows, child.tokenize, child.tokenize), 2048).rows)


def _store(path: Path, rows: list[TokenRow]) -> None:
    path.write_text(json.dumps([[row.ids, row.learnt, row.hash, row.number] for row in rows]))


def _stored(path: Path) -> list[TokenRow]:
    return [TokenRow(tuple(ids), tuple(learnt), digest, number)
            for ids, learnt, digest, number in json.loads(path.read_text())]  # fmt: skip


def _spec(base: Path, rows: list[TokenRow], form: Any) -> Any:
    from finetune.spec import TrainSpec, default_tokens_per_step  # noqa: PLC0415

    tokens = default_tokens_per_step(sum(len(row.ids) for row in rows))
    return TrainSpec(base_path=base, form=form, rank=RANK, alpha=ALPHA, epochs=1.0,
                     learning_rate=LEARNING_RATE, tokens_per_step=tokens,
                     tokens_per_pass=min(tokens, 2048))  # fmt: skip


# The children: one step a line


def _take_steps(side: str, base: Path, rows: list[TokenRow], steps: int) -> None:
    import finetune.train  # noqa: F401, PLC0415 - so that all sides have imported the same

    _say(imported=peak_rss_bytes(), rows=len(rows))
    clock = _Clock()
    if side == "plain":
        _plain(base, rows, steps, clock)
    else:
        _ours(side, base, rows, steps, clock)
    from finetune.data.packing import steps_of_epoch  # noqa: PLC0415

    spec = _spec(base, rows, "blocks")
    taken = steps_of_epoch(rows, spec.tokens_per_pass, spec.tokens_per_step, spec.seed)[:steps]
    widest = max(content.tokens for packs in taken for content in packs)
    _say(peak=peak_rss_bytes(), widest=widest)


class _Clock:
    """CPU-seconds between the parent's word and the end of the step."""

    def __init__(self) -> None:
        self.began = 0.0

    def wait(self) -> None:
        sys.stdin.readline()
        self.began = time.process_time()

    def step_done(self, loss: float, tokens: int) -> None:
        _say(cpu=time.process_time() - self.began, loss=loss, tokens=tokens)
        self.wait()


def _say(**figures: float) -> None:
    print(json.dumps(figures), flush=True)


def _ours(form: str, base: Path, rows: list[TokenRow], steps: int, clock: _Clock) -> None:
    from converters.events import Event, Progress  # noqa: PLC0415
    from finetune.data.packing import endless_steps  # noqa: PLC0415
    from finetune.train import TrainFolders, run  # noqa: PLC0415

    spec = _spec(base, rows, form)
    batches = endless_steps(rows, spec.tokens_per_pass, spec.tokens_per_step, spec.seed)
    done = 0

    def report(event: Event) -> None:
        nonlocal done
        if isinstance(event, Progress):
            done += 1
            assert event.loss is not None
            clock.step_done(event.loss, sum(content.tokens for content in next(batches)))

    clock.wait()
    with tempfile.TemporaryDirectory() as folder:
        folders = TrainFolders(Path(folder) / "adapter", Path(folder) / "checkpoints")
        run(spec, rows, (), folders, report, lambda: done >= steps)


def _plain(base: Path, rows: list[TokenRow], steps: int, clock: _Clock) -> None:
    import torch  # noqa: PLC0415

    from finetune.data.packing import endless_steps, steps_of_epoch  # noqa: PLC0415
    from finetune.schedule import learning_rate  # noqa: PLC0415

    clock.wait()
    model = _plain_model(base)
    parameters = [part for part in model.parameters() if part.requires_grad]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.0, fused=True)
    spec = _spec(base, rows, "16bit")
    budget = (spec.tokens_per_pass, spec.tokens_per_step, spec.seed)
    planned = len(steps_of_epoch(rows, *budget))
    for at, packs in zip(range(steps), endless_steps(rows, *budget), strict=False):
        batch = [row for content in packs for row in content.rows]
        optimizer.zero_grad(set_to_none=True)
        loss = _plain_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, spec.clip)
        optimizer.param_groups[0]["lr"] = learning_rate(at, planned, LEARNING_RATE)
        optimizer.step()
        clock.step_done(loss.item(), sum(len(row.ids) for row in batch))


def _plain_model(base: Path) -> Any:
    """transformers' own model and attention, peft's own layers, weights by gguf-py."""
    import torch  # noqa: PLC0415
    from transformers.models.llama.modeling_llama import LlamaForCausalLM  # noqa: PLC0415

    from converters.gguf.header import read_header  # noqa: PLC0415
    from finetune.base_model import config_of  # noqa: PLC0415
    from finetune.methods.lora import TARGETS  # noqa: PLC0415
    from finetune.methods.quiet_peft import LoraConfig, get_peft_model  # noqa: PLC0415
    from tests.finetune.dense_reference import state_dict  # noqa: PLC0415

    config = config_of(read_header(base))
    config._attn_implementation = "sdpa"
    model: Any = LlamaForCausalLM(config)
    model.to(torch.bfloat16)
    model.load_state_dict(state_dict(base), strict=False)
    model.tie_weights()
    # peft reads a property that transformers has renamed.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
    lora = LoraConfig(r=RANK, lora_alpha=int(ALPHA), target_modules=TARGETS)
    torch.manual_seed(0)
    return get_peft_model(model, lora).train()


def _plain_loss(model: Any, batch: list[TokenRow]) -> Any:
    """Padded to the longest row; the head sees the states before answer tokens alone."""
    import torch  # noqa: PLC0415
    from torch.nn import functional  # noqa: PLC0415
    from torch.nn.utils.rnn import pad_sequence  # noqa: PLC0415

    ids = pad_sequence([torch.tensor(row.ids) for row in batch], batch_first=True)
    learnt = pad_sequence([torch.tensor(row.learnt) for row in batch], batch_first=True)
    seen = pad_sequence([torch.ones(len(row.ids), dtype=torch.long) for row in batch], True)
    inner = model.get_base_model()
    states = inner.model(input_ids=ids, attention_mask=seen, use_cache=False).last_hidden_state
    logits = inner.lm_head(states[:, :-1][learnt[:, 1:]])
    return functional.cross_entropy(logits.float(), ids[:, 1:][learnt[:, 1:]])


if __name__ == "__main__":
    main()
