"""Export against the usual way: merge to an F16 GGUF with gguf-py, then `llama_model_quantize`.

    python -m tests.benchmarks.bench_export [--repeats 5] [--base FILE.gguf]

Both sides run interleaved, each in a fresh process with two threads, on SmolLM2-135M (Q4_1) with a
random LoRA of rank 16 on all 210 linear layers, and write the same types (Q6_K, rows of 576 Q8_0).
"""

import argparse
import ctypes
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from converters.peak_memory import peak_rss_bytes

MEASURE = {"speed": 1.3, "rss_mb": 700}
_Q6_K_FILE = 18


def main() -> None:
    """Run both sides and print the figures side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--side", choices=[*SIDES], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(_timed(partial(SIDES[given.side], given.base, given.folder))))
        return
    base = given.base or _starter()
    with tempfile.TemporaryDirectory() as name:
        _compare(base, Path(name), given.repeats)


def _compare(base: Path, folder: Path, repeats: int) -> None:
    from tests.converters.peft_folders import linear_tensors, random_folder  # noqa: PLC0415

    random_folder(folder / "adapter", base, linear_tensors(base))
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(repeats):
        for side in SIDES:
            runs[side].append(_child(side, base, folder))
    figures = {side: _medians(of) for side, of in runs.items()}
    _print_versions()
    print(f"{'median of ' + str(repeats):24}{'wall s':>9}{'CPU s':>9}{'peak RSS MB':>13}"
          f"{'written MB':>12}{'output MB':>11}")  # fmt: skip
    for side, of in figures.items():
        print(f"{side:24}{of['wall']:9.2f}{of['cpu']:9.2f}{of['rss'] / 1e6:13.0f}"
              f"{of['written'] / 1e6:12.1f}{of['output'] / 1e6:11.1f}")  # fmt: skip
    ours, theirs = figures["ours"], figures["gguf-py + llama.cpp"]
    for name in ("wall", "cpu"):
        print(f"{name} ratio, theirs to ours: {theirs[name] / ours[name]:.2f} "
              f"(wanted: at least {MEASURE['speed']})")  # fmt: skip
    print(f"peak RSS of ours: {ours['rss'] / 1e6:.0f} MB (wanted: under {MEASURE['rss_mb']})")
    print(f"written beyond the output by ours: {ours['written'] - ours['output']:.0f} bytes")
    print(f"touched tensors with llama.cpp's bytes (from merged F32): {_identical(base, folder)}")


def _ours(base: Path, folder: Path) -> Path:
    return _export(base, folder, "Q6_K")


def _ours_auto(base: Path, folder: Path) -> Path:
    return _export(base, folder, "auto")


def _export(base: Path, folder: Path, kind: str) -> Path:
    from converters.export import ExportPlan, export  # noqa: PLC0415 - imports are not timed

    plan = ExportPlan(base, folder / "adapter", folder / f"ours-{kind}.gguf", kind)
    return export(plan, lambda _: None, lambda: False).gguf


def _theirs(base: Path, folder: Path) -> Path:
    merged = folder / "merged-f16.gguf"
    _merge_with_gguf_py(base, folder / "adapter", merged)
    return _llama_quantize(merged, folder / "theirs.gguf")


def _merge_with_gguf_py(base: Path, adapter: Path, output: Path) -> None:
    """What a careful script does: dequantise, add, round to F16, write."""
    import gguf  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from safetensors.numpy import load_file  # noqa: PLC0415

    from converters.architectures import llama  # noqa: PLC0415 - only names and row order
    from tests.converters.peft_folders import module_of  # noqa: PLC0415

    reader = gguf.GGUFReader(base)
    tensors = load_file(adapter / "adapter_model.safetensors")
    settings = json.loads((adapter / "adapter_config.json").read_text())
    scale = np.float32(settings["lora_alpha"] / settings["r"])
    writer = gguf.GGUFWriter(output, "llama")
    _copy_fields(reader, writer)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if tensor.name.startswith("blk.") and len(tensor.shape) == 2:
            module = module_of(tensor.name)
            b = tensors[f"{module}.lora_B.weight"]
            heads = llama.heads_of_rows(tensor.name, 9, 3)
            b = llama.to_file_rows(b, heads) if heads else b
            values = values + scale * (b @ tensors[f"{module}.lora_A.weight"])
        half = len(tensor.shape) == 2
        writer.add_tensor(tensor.name, values.astype(np.float16) if half else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy_fields(reader: Any, writer: Any) -> None:
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
            continue
        element = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(key, field.contents(), field.types[0], sub_type=element)
    writer.add_file_type(1)


def _llama_quantize(source: Path, output: Path) -> Path:
    import llama_cpp  # noqa: PLC0415

    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = _Q6_K_FILE, 2
    parameters.allow_requantize = True
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(output).encode(), ctypes.pointer(parameters)
    )
    assert code == 0
    return output


SIDES: dict[str, Callable[[Path, Path], Path]] = {
    "ours": _ours,
    "ours, type auto": _ours_auto,
    "gguf-py + llama.cpp": _theirs,
}


def _timed(side: Callable[[], Path]) -> dict[str, float]:
    import gguf  # noqa: F401, PLC0415 - imports are not timed on either side
    import llama_cpp  # noqa: F401, PLC0415
    import safetensors.numpy  # noqa: F401, PLC0415

    import converters.export  # noqa: F401, PLC0415

    wall, cpu, written = time.perf_counter(), time.process_time(), _written_bytes()
    output = side()
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "rss": peak_rss_bytes(),
        "written": _written_bytes() - written,
        "output": output.stat().st_size,
    }


def _written_bytes() -> int:
    """Bytes that this process has handed to write calls (Linux)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def _child(side: str, base: Path, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.bench_export", "--side", side]
    command += ["--base", str(base), "--folder", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _identical(base: Path, folder: Path) -> str:
    from converters.adapter import read_adapter  # noqa: PLC0415
    from converters.gguf.reader import GgufFile  # noqa: PLC0415
    from tests.converters.merged_f32 import write_merged_f32  # noqa: PLC0415

    with GgufFile(base) as file:
        adapter = read_adapter(folder / "adapter", file.header)
        whole = write_merged_f32(file, adapter, folder / "merged-f32.gguf")
    oracle = _llama_quantize(whole, folder / "oracle.gguf")
    with GgufFile(folder / "ours-Q6_K.gguf") as ours, GgufFile(oracle) as theirs:
        same = [ours.tensor_bytes(n) == theirs.tensor_bytes(n) for n in adapter.touched]
    return f"{sum(same)} of {len(same)}"


def _print_versions() -> None:
    names = ("numpy", "gguf", "llama-cpp-python", "safetensors")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    print(f"Python {platform.python_version()}, {versions}; {os.cpu_count()} CPU cores")


def _starter() -> Path:
    from tests.servers.starter import starter_gguf  # noqa: PLC0415

    return starter_gguf()


if __name__ == "__main__":
    main()
