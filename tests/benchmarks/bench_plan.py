"""The memory plan beside measured peaks, and beside peaks that others published.

    python -m tests.benchmarks.bench_plan [--steps 100] [--only 512]

Each shape is a fresh child that runs `finetune.train.run` on rows of one length; its peak resident
size is told above the one it had after importing torch, transformers and peft. `float32` shapes
compute as a processor without bfloat16 products does.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from converters.gguf.header import Header, TensorInfo, TensorType, read_header
from converters.peak_memory import peak_rss_bytes
from finetune.data.segments import TokenRow
from finetune.plan import PROGRAM_BYTES, Compute, MemoryCase, MicroBatch, plan_of

WITHIN = 0.2
LEARNT_SHARE = 4
GIB = 1 << 30


@dataclass(frozen=True)
class Shape:
    """One configuration: rows of `length` tokens, `tokens` of them in each step and pass."""

    form: str
    length: int
    rank: int
    tokens: int
    float32: bool = False
    recompute: bool = False

    @property
    def batch(self) -> MicroBatch:
        """What goes through the model at once."""
        count = self.tokens // self.length
        return MicroBatch((self.length,) * count, count * (self.length // LEARNT_SHARE))


SHAPES = (
    Shape("blocks", 128, 8, 512),
    Shape("blocks", 128, 16, 512),
    Shape("blocks", 512, 16, 512),
    Shape("blocks", 512, 64, 512),
    Shape("16bit", 512, 16, 512),
    Shape("blocks", 512, 16, 512, float32=True),
    Shape("16bit", 512, 16, 512, float32=True),
    Shape("blocks", 128, 64, 512, float32=True),
    Shape("blocks", 128, 16, 2048),
    Shape("blocks", 512, 16, 2048),
    Shape("blocks", 2048, 16, 2048),
    Shape("blocks", 512, 16, 2048, recompute=True),
    Shape("16bit", 2048, 64, 2048),
)


def planned(base: Path, shape: Shape, value_bytes: int) -> int:
    """Bytes that the plan names for a shape, without the program itself."""
    compute = Compute("cpu", value_bytes)
    case = MemoryCase(
        shape.batch, shape.rank, shape.form, compute, recompute=shape.recompute,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    return plan_of(read_header(base), case).total_bytes - PROGRAM_BYTES


def measured(base: Path, shape: Shape, steps: int) -> dict[str, float]:
    """Run a shape in a child: bytes imported, the peak above that, bytes of a computed value."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_plan", "--base", str(base),
               "--steps", str(steps), "--child", json.dumps(vars(shape))]  # fmt: skip
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **quiet}
    )
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    """Print every shape's planned and measured bytes, then the published peaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--only", type=int, help="Shapes of at most so many tokens a step.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    base = given.base or _starter()
    if given.child:
        _run_shape(base, Shape(**json.loads(given.child)), given.steps)
        return
    print(f"{'form':8}{'row':>6}{'rank':>6}{'step':>6}{'computes in':>13}{'planned MB':>12}"
          f"{'measured MB':>13}{'ratio':>7}   {given.steps} steps")  # fmt: skip
    shapes = [shape for shape in SHAPES if not given.only or shape.tokens <= given.only]
    ratios = [_compare(base, shape, given.steps) for shape in shapes]
    print(f"ratios {min(ratios):.2f} to {max(ratios):.2f} (wanted: within {WITHIN:.0%})")
    _print_published()


def _compare(base: Path, shape: Shape, steps: int) -> float:
    found = measured(base, shape, steps)
    value_bytes = int(found["value_bytes"])
    ratio = planned(base, shape, value_bytes) / found["above"]
    kind = "bfloat16" if value_bytes == 2 else "float32"
    print(f"{shape.form:8}{shape.length:6}{shape.rank:6}{shape.tokens:6}{kind:>13}"
          f"{planned(base, shape, value_bytes) / 1e6:12.0f}{found['above'] / 1e6:13.0f}"
          f"{ratio:7.2f}", flush=True)  # fmt: skip
    return ratio


# The child


def _run_shape(base: Path, shape: Shape, steps: int) -> None:
    from finetune import base_model  # noqa: PLC0415
    from finetune.relief import Relief  # noqa: PLC0415
    from finetune.spec import TrainSpec  # noqa: PLC0415
    from finetune.train import TrainFolders, run  # noqa: PLC0415

    if shape.float32:
        base_model.has_fast_bf16 = lambda: False
    imported = _resident_bytes()
    # What the imports took for a moment is no part of the run.
    Path("/proc/self/clear_refs").write_text("5")
    rows = _rows(shape, steps)
    spec = TrainSpec(
        base_path=base, form=shape.form, rank=shape.rank, tokens_per_step=shape.tokens,  # pyright: ignore[reportArgumentType]
        tokens_per_pass=shape.tokens, relief=Relief(recompute=shape.recompute),
    )
    with tempfile.TemporaryDirectory() as name:
        folders = TrainFolders(Path(name) / "adapter", Path(name) / "checkpoints")
        run(spec, rows, (), folders, lambda _: None, lambda: False)
    value_bytes = base_model.compute_dtype("cpu").itemsize
    print(json.dumps({
        "imported": imported, "above": peak_rss_bytes() - imported, "value_bytes": value_bytes,
    }))  # fmt: skip


def _rows(shape: Shape, steps: int) -> list[TokenRow]:
    learnt = shape.length // LEARNT_SHARE
    flags = (False,) * (shape.length - learnt) + (True,) * learnt
    ids = tuple(1000 + place for place in range(shape.length))
    count = shape.tokens // shape.length * steps
    return [TokenRow(ids, flags, str(at), at) for at in range(count)]


def _resident_bytes() -> int:
    from finetune.memory_use import memory_bytes  # noqa: PLC0415

    resident = memory_bytes("cpu")
    assert resident is not None
    return resident


def _starter() -> Path:
    from tests.servers.starter import starter_gguf  # noqa: PLC0415

    return starter_gguf()


# What others published (FACTS 2.3)


@dataclass(frozen=True)
class Published:
    """A peak that somebody measured with another program, and ours for the same shape."""

    name: str
    peak_bytes: float
    header: Header
    case: MemoryCase
    difference: str

    @property
    def planned(self) -> int:
        """What our run would take on a card."""
        return plan_of(self.header, self.case).total_bytes


def header_of(
    shapes: dict[str, tuple[int, int]], *, layers: int, heads: int, context: int
) -> Header:
    """A llama header in Q4_0 with no file behind it."""
    tensors = tuple(
        TensorInfo(name, shape, TensorType.Q4_0, 0, shape[0] * shape[1] // 32 * 18)
        for name, shape in shapes.items()
    )
    metadata = {
        "general.architecture": "llama", "llama.block_count": layers,
        "llama.context_length": context, "llama.attention.head_count": heads,
    }  # fmt: skip
    by_name = {info.name: info for info in tensors}
    return Header(Path("by-hand.gguf"), 3, metadata, tensors, 32, 0, 0, {}, by_name)


def _model(width: int, kv: int, ff: int, vocabulary: int) -> Header:
    """A model of 32 layers and 32 heads whose head is a tensor of its own."""
    layer = {
        "attn_q": (width, width), "attn_k": (kv, width), "attn_v": (kv, width),
        "attn_output": (width, width), "ffn_gate": (ff, width), "ffn_up": (ff, width),
        "ffn_down": (width, ff),
    }  # fmt: skip
    shapes = {"token_embd.weight": (vocabulary, width), "output.weight": (vocabulary, width)}
    for at in range(32):
        shapes |= {f"blk.{at}.{part}.weight": shape for part, shape in layer.items()}
    return header_of(shapes, layers=32, heads=32, context=131_072)


def _on_a_card(rows: int, length: int, rank: int, *, recompute: bool = True) -> MemoryCase:
    batch = MicroBatch((length,) * rows, rows * length)
    return MemoryCase(batch, rank, compute=Compute("cuda", 2), recompute=recompute)


LLAMA_3_8B, LLAMA_2_7B = _model(4096, 1024, 14336, 128_256), _model(4096, 4096, 11008, 32_000)
QWEN_7B = _model(4096, 4096, 11008, 151_936)
PUBLISHED = (
    Published(
        "torchtune, Llama-3.1-8B, 2 x 2,048", 7.4 * GIB, LLAMA_3_8B, _on_a_card(2, 2048, 8),
        "They keep NF4 (4.13 bits) and the adapter in bfloat16 with 8-bit moments; we keep the "
        "file's blocks (4.5 bits), float32, and unpack the head whole by way of float32.",
    ),
    Published(
        "LitGPT, 7B nf4-dq", 13.84e9, LLAMA_2_7B, _on_a_card(1, 2048, 8, recompute=False),
        "The rows' length is not told with the figure: ours is for 2,048; nothing is recomputed.",
    ),
    Published(
        "Unsloth, 8B, 8,192 tokens", 7.37 * GIB + 227_500 * 8192, LLAMA_3_8B,
        _on_a_card(1, 8192, 16),
        "Their layers' inputs are moved to main memory; ours stay on the card.",
    ),
    Published(
        "Qwen-7B, 2,048 tokens", 13.9e9, QWEN_7B, _on_a_card(1, 2048, 64),
        "They keep embedding and head in 16 bit and all logits of the row in float32; we keep "
        "blocks and one piece of the logits.",
    ),
    Published(
        "Qwen-7B, 8,192 tokens", 23.5e9, QWEN_7B, _on_a_card(1, 8192, 64),
        "As above: the logits alone take four times as much there.",
    ),
)  # fmt: skip


def _print_published() -> None:
    print("\nPublished peaks (other programs, cards) and our plan for the same shape:")
    for peak in PUBLISHED:
        print(f"  {peak.name}: published {peak.peak_bytes / 1e9:.2f} GB, ours "
              f"{peak.planned / 1e9:.2f} GB ({peak.planned / peak.peak_bytes:.2f}). "
              f"{peak.difference}")  # fmt: skip
    per_token = [
        plan_of(LLAMA_3_8B, _on_a_card(1, tokens, 16)).total_bytes for tokens in (4096, 8192)
    ]
    print(f"  a token more on the 8B: Unsloth 227.5 kB, ours "
          f"{(per_token[1] - per_token[0]) / 4096 / 1e3:.1f} kB when recomputing")  # fmt: skip


if __name__ == "__main__":
    main()
