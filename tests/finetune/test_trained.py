"""The trained model as the proofs see it: distributions and changes, adapter on and off."""

from pathlib import Path

import numpy as np
import pytest
import torch

from converters.adapter import read_adapter
from converters.gguf.header import read_header
from converters.merge import delta
from finetune import trained
from finetune.base_model import load_base
from finetune.methods.lora import ADAPTER, add_adapter, layers, save_adapter
from finetune.trained import open_trained
from tests.finetune.tiny_models import VOCABULARY, tiny_model

IDS = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter") / "adapter"
    adapted = add_adapter(load_base(base), rank=4, alpha=6.0, seed=0)
    for _, layer in layers(adapted):
        torch.nn.init.normal_(layer.lora_B[ADAPTER].weight, std=0.2)
    save_adapter(adapted, folder)
    return folder


@torch.inference_mode()
def _expected(base: Path) -> np.ndarray:
    logits = load_base(base, form="f32")(input_ids=torch.tensor([IDS])).logits[0]
    return logits.log_softmax(-1).numpy()


def test_rows_are_the_distributions_that_predict_the_ids_from_start_on(
    base: Path, adapter: Path
) -> None:
    with open_trained(base, adapter) as model:
        found = model.log_probs(IDS, 3, tuned=False)
    assert found.shape == (5, VOCABULARY)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _expected(base)[2:-1], atol=2e-6)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-5)


def test_the_adapter_is_on_when_asked_for_and_off_otherwise(base: Path, adapter: Path) -> None:
    with open_trained(base, adapter) as model:
        tuned = model.log_probs(IDS, 1, tuned=True)
        untuned = model.log_probs(IDS, 1, tuned=False)
        again = model.log_probs(IDS, 1, tuned=True)
    assert np.array_equal(tuned, again)
    assert np.abs(tuned - untuned).max() > 0.05
    np.testing.assert_allclose(untuned, _expected(base)[:-1], atol=2e-6)


def test_large_models_stay_in_blocks_and_say_the_same(
    base: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_trained(base, adapter) as model:
        dense = model.log_probs(IDS, 1, tuned=True)
    monkeypatch.setattr(trained, "DENSE_BELOW_PARAMETERS", 0)
    with open_trained(base, adapter) as model:
        blocks = model.log_probs(IDS, 1, tuned=True)
    np.testing.assert_allclose(blocks, dense, atol=1e-5)


def test_changes_are_those_that_the_folder_holds(base: Path, adapter: Path) -> None:
    read = read_adapter(adapter, read_header(base))
    with open_trained(base, adapter) as model:
        found = dict(model.deltas())
    assert found.keys() == read.tensors.keys()
    for name, change in found.items():
        assert change.dtype == np.float32
        np.testing.assert_allclose(change, delta(read.tensors[name]), rtol=1e-5, atol=1e-6)
