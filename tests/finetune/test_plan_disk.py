"""Disk and model sizes, against numbers worked out by hand."""

from pathlib import Path
from typing import Any

from converters.export import estimated_size
from converters.gguf.header import read_header
from finetune.plan import touched_names
from finetune.plan_disk import disk_terms, model_bytes, model_bytes_by_type
from finetune.spec import parse

TRAINED = 4_884_480


def _spec(**values: Any) -> Any:
    return parse({"model": "m", "data": "rows.jsonl", "name": "n", **values})


def test_the_runs_folder_at_its_fullest(smollm2: Path) -> None:
    header = read_header(smollm2)
    usual, largest = model_bytes(header, _spec())
    terms = {term.name: term.bytes for term in disk_terms(header, _spec(), 1000)}
    assert terms == {
        "checkpoints: the newest two and the best": 3 * 12 * TRAINED,
        "the checkpoint being written": 12 * TRAINED,
        "the adapter, in PEFT's format and as GGUF": 8 * TRAINED,
        "the finished model at its largest": largest,
        "an attempt in a smaller type beside it": usual,
        "the model in F32 while it is proven": 4 * 134_515_008,
        "rows, tokens and logs": 20_008_000,
    }


def test_auto_may_end_in_f16_and_a_named_type_does_not_grow(smollm2: Path) -> None:
    header = read_header(smollm2)
    names = touched_names(header)
    assert model_bytes(header, _spec()) == (
        estimated_size(header, "Q8_0", names), estimated_size(header, "F16", names)
    )  # fmt: skip
    assert len(set(model_bytes(header, _spec(export_type="Q6_K")))) == 1
    assert "an attempt in a smaller type beside it" not in {
        term.name for term in disk_terms(header, _spec(export_type="Q6_K"), 0)
    }


def test_sizes_by_type_name_what_each_export_makes(smollm2: Path) -> None:
    header = read_header(smollm2)
    sizes = model_bytes_by_type(header)
    assert sizes["same"] == smollm2.stat().st_size
    assert sizes["same"] < sizes["Q5_0"] < sizes["Q6_K"] < sizes["Q8_0"] < sizes["F16"]
    assert sizes["auto"] == sizes["Q8_0"]
