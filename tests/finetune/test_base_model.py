"""The loaded model is transformers' dense model with gguf-py's weights, whatever the form."""

from pathlib import Path

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from converters.errors import UserError
from converters.gguf.header import TensorType, ValueType, read_header
from converters.gguf.writer import encode_field
from finetune.base_model import compute_dtype, config_of, has_fast_bf16, load_base, n_parameters
from finetune.block_linear import BlockEmbedding, BlockLinear
from finetune.spec import BaseForm
from tests.finetune.dense_reference import state_dict
from tests.finetune.tiny_models import VOCABULARY, tiny_model

IDS = torch.tensor([[1, 5, 47, 5, 0, 12, 33, 8, 9, 2, 2, 40]])


def _reference(path: Path, *, theta: float = 10000.0) -> LlamaForCausalLM:
    """Built by transformers alone, with its own attention, from gguf-py's values."""
    config = config_of(read_header(path))
    config._attn_implementation = "eager"
    config.rope_parameters = {"rope_type": "default", "rope_theta": theta}
    model = LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(state_dict(path), strict=False)
    assert set(missing) <= {"lm_head.weight"}
    assert not unexpected
    model.tie_weights()
    return model.eval()


@torch.inference_mode()
def _logits(model: LlamaForCausalLM) -> torch.Tensor:
    return model(input_ids=IDS).logits[0].float()


@pytest.mark.parametrize("form", ["blocks", "16bit", "f32"])
@pytest.mark.parametrize("has_head", [False, True], ids=["tied", "untied"])
def test_logits_are_those_of_the_dense_model(
    tmp_path: Path, form: BaseForm, has_head: bool
) -> None:
    path = tiny_model(tmp_path / "a.gguf", TensorType.Q5_0, has_head=has_head)
    model = load_base(path, form=form, dtype=torch.float32)
    wanted = _logits(_reference(path))
    assert model.config.tie_word_embeddings is not has_head
    assert wanted.shape == (12, VOCABULARY)
    torch.testing.assert_close(_logits(model), wanted, rtol=1e-4, atol=1e-5)


def test_real_weights_give_the_dense_models_logits(smollm2: Path) -> None:
    torch.testing.assert_close(
        _logits(load_base(smollm2, dtype=torch.float32)),
        _logits(_reference(smollm2, theta=100_000.0)),
        rtol=1e-3,
        atol=2e-3,
    )


def test_16_bit_activations_stay_close(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "a.gguf")
    exact = _logits(load_base(path, form="f32"))
    near = _logits(load_base(path, dtype=torch.bfloat16))
    assert 0 < float((near - exact).norm() / exact.norm()) < 0.02


@pytest.mark.parametrize("is_tied", [True, False])
def test_blocks_hold_no_dense_copy(tmp_path: Path, is_tied: bool) -> None:
    path = tiny_model(tmp_path / "a.gguf", has_head=not is_tied)
    model = load_base(path)
    assert isinstance(model.lm_head, BlockLinear)
    assert isinstance(model.model.embed_tokens, BlockEmbedding)
    shared = model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert shared is is_tied
    assert all(part.dim() == 1 for part in model.parameters())


def test_a_dense_tied_head_is_one_tensor_with_the_embedding(tmp_path: Path) -> None:
    model = load_base(tiny_model(tmp_path / "a.gguf"), form="16bit", dtype=torch.bfloat16)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert {part.dtype for part in model.parameters()} == {torch.bfloat16}
    assert not any(part.requires_grad for part in model.parameters())


def test_frequency_factors_divide_the_rotary_frequencies(tmp_path: Path) -> None:
    factors = [1.0, 1.5, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]
    plain = load_base(tiny_model(tmp_path / "a.gguf"), dtype=torch.float32)
    scaled = load_base(tiny_model(tmp_path / "b.gguf", rope_factors=factors), dtype=torch.float32)
    expected = 10000.0 ** (-torch.arange(0, 16, 2) / 16)
    torch.testing.assert_close(plain.model.rotary_emb.inv_freq, expected)
    torch.testing.assert_close(scaled.model.rotary_emb.inv_freq, expected / torch.tensor(factors))
    assert not torch.allclose(_logits(plain), _logits(scaled), atol=1e-3)


def test_linear_scaling_divides_all_of_them(tmp_path: Path) -> None:
    fields = (
        encode_field("llama.rope.freq_base", ValueType.FLOAT32, 5000.0),
        encode_field("llama.rope.scaling.type", ValueType.STRING, "linear"),
        encode_field("llama.rope.scaling.factor", ValueType.FLOAT32, 4.0),
    )
    model = load_base(tiny_model(tmp_path / "a.gguf", fields=fields))
    expected = 5000.0 ** (-torch.arange(0, 16, 2) / 16) / 4
    torch.testing.assert_close(model.model.rotary_emb.inv_freq, expected)


def test_another_architecture_is_named_with_what_is_supported(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "a.gguf", architecture="qwen9")
    with pytest.raises(UserError) as caught:
        load_base(path)
    assert caught.value.title == "This model's architecture cannot be tuned yet."
    assert caught.value.detail == "It is `qwen9`; supported is llama (without experts)."


def test_experts_are_refused(tmp_path: Path) -> None:
    experts = encode_field("llama.expert_count", ValueType.UINT32, 8)
    with pytest.raises(UserError, match="architecture cannot be tuned"):
        load_base(tiny_model(tmp_path / "a.gguf", fields=(experts,)))


def test_an_unknown_number_format_is_named_with_those_that_work(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "a.gguf", TensorType.IQ4_NL)
    with pytest.raises(UserError) as caught:
        load_base(path)
    assert caught.value.title == "This model's number format cannot be tuned yet."
    assert caught.value.detail.startswith("It holds IQ4_NL; supported are F32, F16, BF16, Q4_0")


def test_an_unknown_position_encoding_is_refused(tmp_path: Path) -> None:
    yarn = encode_field("llama.rope.scaling.type", ValueType.STRING, "yarn")
    with pytest.raises(UserError) as caught:
        load_base(tiny_model(tmp_path / "a.gguf", fields=(yarn,)))
    assert caught.value.detail == "Its rope scaling is `yarn` on None of 16 dimensions."


def test_a_missing_tensor_is_named_in_words(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_base(tiny_model(tmp_path / "a.gguf", left_out="blk.1.ffn_up.weight"))
    assert caught.value.title == "The model file is incomplete."
    assert "model.layers.1.mlp.up_proj" in caught.value.detail


def test_parameters_are_counted_from_the_header(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "a.gguf")
    model = _reference(path)
    assert n_parameters(read_header(path)) == sum(part.numel() for part in model.parameters())


def test_the_activations_type_follows_the_cpu() -> None:
    assert compute_dtype("cpu") is (torch.bfloat16 if has_fast_bf16() else torch.float32)
    assert compute_dtype("cuda") is torch.bfloat16
