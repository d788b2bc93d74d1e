"""What an export writes for a touched tensor is what llama.cpp makes of the merged F32 model."""

from pathlib import Path

import pytest

from converters.adapter import read_adapter
from converters.export import ExportPlan, export
from converters.gguf.reader import GgufFile
from tests.converters.gguf.llama_quantize import llama_quantize
from tests.converters.merged_f32 import write_merged_f32
from tests.converters.peft_folders import linear_tensors, random_folder
from tests.converters.small_models import cut_model


@pytest.mark.parametrize(
    ("kind", "file_type", "comparable"),
    [("Q8_0", 7, 14), ("Q6_K", 18, 14), ("Q5_0", 8, 14), ("Q5_K", 17, 12), ("F16", 1, 14)],
)
def test_touched_tensors_have_the_bytes_of_llama_cpp(
    smollm2: Path, tmp_path: Path, kind: str, file_type: int, comparable: int
) -> None:
    base = cut_model(smollm2, tmp_path / "base.gguf", vocab_rows=1024)
    adapter = random_folder(tmp_path / "adapter", base, linear_tensors(base))
    ours = export(
        ExportPlan(base, adapter, tmp_path / "ours.gguf", kind), lambda _: None, lambda: False
    )
    with GgufFile(base) as file:
        low_rank = read_adapter(adapter, file.header)
        whole = write_merged_f32(file, low_rank, tmp_path / "merged.gguf")
    theirs = llama_quantize(whole, tmp_path / "theirs.gguf", file_type)
    compared = set()
    with GgufFile(ours.gguf) as mine, GgufFile(theirs) as oracle:
        for name, outcome in ours.tensors.items():
            # A mix such as Q5_K_M gives single tensors a larger type than the one asked for.
            if oracle.header.tensor(name).type == outcome.type:
                assert mine.tensor_bytes(name) == oracle.tensor_bytes(name), name
                compared.add(name)
    assert len(compared) == comparable
