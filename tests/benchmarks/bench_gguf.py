"""Header parsing and dequantising: ours in torch and numpy beside ggml and gguf's numpy code.

    python -m tests.benchmarks.bench_gguf

Prints Mweights per CPU-second of one thread, the sides of one type in turn.
"""

import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader, quants

from converters.gguf.block_layouts import LAYOUTS, layout
from converters.gguf.header import read_header
from converters.gguf.quantize import dequantize, quantize
from converters.gguf.reader import GgufFile
from converters.gguf.tensor_types import TensorType
from tests.servers.starter import starter_gguf

ROWS, LENGTH, ROUNDS = 1536, 768, 40


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    names = ("torch", "numpy", "gguf", "llama-cpp-python")
    print(", ".join(f"{name} {version(name)}" for name in names))
    _print_headers()
    print(f"{'type':6}{'torch f32':>11}{'torch bf16':>11}{'numpy':>8}{'ggml':>8}{'gguf-py':>8}")
    for kind in LAYOUTS:
        _print_rates(kind)
    _print_smollm2()


def _print_headers() -> None:
    path = starter_gguf()
    ours, theirs = _seconds(lambda: read_header(path), 3), _seconds(lambda: GGUFReader(path), 1)
    print(f"header of {path.name}: ours {ours * 1e3:.0f} ms, gguf-py {theirs * 1e3:.0f} ms")


def _print_rates(kind: TensorType) -> None:
    chance = np.random.default_rng(0)
    blocks = quantize(chance.standard_normal((ROWS, LENGTH)).astype(np.float32), kind)
    in_torch, entry = torch.from_numpy(blocks), layout(kind)
    stored = blocks.view({"F32": np.float32, "F16": np.float16}.get(kind.name, np.uint8))
    sides = (
        lambda: entry.dequantize(in_torch, torch),
        lambda: entry.dequantize(in_torch, torch, torch.bfloat16),
        lambda: entry.dequantize(blocks, np),
        lambda: dequantize(blocks, kind),
        lambda: quants.dequantize(stored, GGMLQuantizationType(int(kind))),
    )
    rates = [ROWS * LENGTH / _seconds(side, ROUNDS) / 1e6 for side in sides]
    wide, narrow = rates[:2], rates[2:]
    columns = [*(f"{rate:11.0f}" for rate in wide), *(f"{rate:8.0f}" for rate in narrow)]
    print(f"{kind.name:6}" + "".join(columns))


def _print_smollm2() -> None:
    with GgufFile(starter_gguf()) as file:
        infos = [info for info in file.header.tensors if info.type is TensorType.Q4_1]
        blocks = [torch.from_numpy(file.blocks(info.name).copy()) for info in infos]
    entry = layout(TensorType.Q4_1)
    n_weights = sum(info.n_rows * info.row_length for info in infos)
    for dtype in (torch.float32, torch.bfloat16):
        seconds = _seconds(lambda d=dtype: [len(entry.dequantize(b, torch, d)) for b in blocks], 5)
        rate = n_weights / seconds / 1e6
        print(f"{len(infos)} Q4_1 layers to {dtype}: {seconds:.3f} CPU-s, {rate:.0f} Mweights/s")


def _seconds(side: Callable[[], object], rounds: int) -> float:
    side()
    start = time.process_time()
    for _ in range(rounds):
        side()
    return (time.process_time() - start) / rounds


if __name__ == "__main__":
    main()
