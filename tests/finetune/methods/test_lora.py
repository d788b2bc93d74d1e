"""The adapter: in PEFT's own format, read back alike, and its change of every weight."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file

from converters.adapter import read_adapter
from converters.gguf.header import read_header
from converters.merge import delta
from finetune.base_model import load_base
from finetune.methods.lora import (
    ADAPTER,
    CONFIG_FILE,
    MODEL_FILE,
    TARGETS,
    adapter_files,
    add_adapter,
    deltas,
    layers,
    load_adapter,
    put_weights,
    save_adapter,
)
from finetune.methods.quiet_peft import PeftModel
from tests.finetune.tiny_models import LAYERS, LINEAR, WIDTH, tiny_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


def _adapted(base: Path, seed: int = 0) -> PeftModel:
    model = load_base(base, dtype=torch.float32)
    return add_adapter(model, rank=4, alpha=6.0, seed=seed, base_name="tiny.gguf")


def _trained(base: Path) -> PeftModel:
    adapted = _adapted(base)
    chance = torch.Generator().manual_seed(1)
    for _, layer in layers(adapted):
        second = layer.lora_B[ADAPTER].weight
        second.data.copy_(torch.randn(second.shape, generator=chance))
    return adapted


@torch.inference_mode()
def _logits(adapted: PeftModel) -> torch.Tensor:
    return adapted.get_base_model()(input_ids=torch.tensor([[3, 1, 4, 1, 5]])).logits  # pyright: ignore


def test_a_fresh_adapter_covers_all_linear_layers_and_changes_nothing(base: Path) -> None:
    adapted = _adapted(base)
    assert sorted(name for name, _ in layers(adapted)) == sorted(
        f"blk.{n}.{part}.weight" for n in range(LAYERS) for part in LINEAR
    )
    with adapted.disable_adapter():
        off = _logits(adapted)
    assert torch.equal(_logits(adapted), off)


def test_the_seed_decides_the_first_matrices_and_no_global_state_is_touched(base: Path) -> None:
    before = torch.random.get_rng_state()
    firsts = [next(layers(_adapted(base, seed)))[1].lora_A[ADAPTER].weight for seed in (5, 5, 6)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(firsts[0], firsts[1])
    assert not torch.equal(firsts[0], firsts[2])


def test_the_folder_is_pefts_own(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    save_adapter(_trained(base), folder)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert config["base_model_name_or_path"] == "tiny.gguf"
    assert (config["r"], config["lora_alpha"], config["task_type"]) == (4, 6.0, "CAUSAL_LM")
    assert sorted(config["target_modules"]) == TARGETS
    weights = load_file(folder / "adapter_model.safetensors")
    assert len(weights) == 2 * LAYERS * len(LINEAR)
    a = weights["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"]
    assert (a.shape, a.dtype) == ((4, WIDTH), torch.float32)


def test_a_saved_adapter_is_loaded_alike(base: Path, tmp_path: Path) -> None:
    trained = _trained(base)
    save_adapter(trained, tmp_path / "adapter")
    loaded = load_adapter(load_base(base, dtype=torch.float32), tmp_path / "adapter")
    assert torch.equal(_logits(loaded), _logits(trained))
    assert not any(part.requires_grad for part in loaded.parameters())


def test_saving_again_replaces_and_leaves_no_staged_folder(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    save_adapter(_adapted(base), folder)
    first = (folder / "adapter_model.safetensors").read_bytes()
    (tmp_path / "adapter.partial").mkdir(exist_ok=True)
    save_adapter(_trained(base), folder)
    assert (folder / "adapter_model.safetensors").read_bytes() != first
    assert "adapter" in [path.name for path in tmp_path.iterdir()]


def test_our_bytes_are_those_that_peft_writes(base: Path, tmp_path: Path) -> None:
    trained = _trained(base)
    trained.save_pretrained(str(tmp_path / "peft"), save_embedding_layers=False)
    ours = adapter_files(trained)
    assert ours[MODEL_FILE] == (tmp_path / "peft" / MODEL_FILE).read_bytes()
    theirs = json.loads((tmp_path / "peft" / CONFIG_FILE).read_text())
    theirs["target_modules"] = sorted(theirs["target_modules"])  # a set: in any order
    assert json.loads(ours[CONFIG_FILE]) == theirs


def test_weights_are_put_back_to_the_bit_or_refused_as_a_whole(base: Path) -> None:
    """lerobot#3459: matrices that are not found stay as they were initialised, unnoticed."""
    file = adapter_files(_trained(base))[MODEL_FILE]
    saved = {name: part.numpy() for name, part in load(file).items()}
    fresh = _adapted(base, seed=9)
    put_weights(fresh, saved)
    assert adapter_files(fresh) == adapter_files(_trained(base))
    saved.popitem()
    with pytest.raises(ValueError, match="has other matrices"):
        put_weights(fresh, saved)


def test_the_modules_changes_are_those_of_the_saved_folder(base: Path, tmp_path: Path) -> None:
    """Two ways that share no code: peft's modules, and our reader of the folder."""
    trained, header = _trained(base), read_header(base)
    save_adapter(trained, tmp_path / "adapter")
    adapter = read_adapter(tmp_path / "adapter", header)
    found = dict(deltas(trained, header))
    assert found.keys() == adapter.tensors.keys()
    for name, change in found.items():
        assert tuple(change.shape) == header.tensor(name).shape
        expected = delta(adapter.tensors[name])
        np.testing.assert_allclose(change.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_changes_of_q_and_k_are_in_the_files_row_order(base: Path) -> None:
    trained, header = _trained(base), read_header(base)
    found = dict(deltas(trained, header))
    of_modules = dict(layers(trained))
    for part, heads in (("attn_q", 4), ("attn_k", 2)):
        name = f"blk.1.{part}.weight"
        module = of_modules[name].get_delta_weight(ADAPTER)
        half = module.shape[0] // heads // 2
        # The file has the two halves of a head row by row: 0, half, 1, half + 1, ...
        order = [head * 2 * half + side * half + at
                 for head in range(heads) for at in range(half) for side in range(2)]  # fmt: skip
        assert torch.equal(found[name], module[order])
    assert torch.equal(found["blk.1.attn_v.weight"],
                       of_modules["blk.1.attn_v.weight"].get_delta_weight(ADAPTER))  # fmt: skip
