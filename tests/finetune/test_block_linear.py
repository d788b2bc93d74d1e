"""A linear layer on blocks is the dense layer with the dequantised weight, type by type."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from converters.gguf.header import TensorType
from converters.gguf.quantize import dequantize, quantize
from finetune.block_linear import BlockEmbedding, BlockLinear, blocks_to_torch

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q6_K", "F16", "BF16", "F32"]
ROWS, ROW_LENGTH = 40, 256


def _blocks(name: str) -> np.ndarray:
    values = np.random.default_rng(0).standard_normal((ROWS, ROW_LENGTH)).astype(np.float32)
    return quantize(values, TensorType[name])


def _layer(name: str) -> BlockLinear:
    return BlockLinear(blocks_to_torch(_blocks(name)), TensorType[name])


def _dense(name: str) -> torch.Tensor:
    """The weight as ggml dequantises it."""
    return torch.from_numpy(dequantize(_blocks(name), TensorType[name]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", TYPES)
def test_output_and_gradient_are_those_of_the_dense_layer(name: str, dtype: torch.dtype) -> None:
    layer, weight = _layer(name), _dense(name).to(dtype)
    x = torch.randn(2, 7, ROW_LENGTH, generator=torch.Generator().manual_seed(1)).to(dtype)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    output, wanted = layer(ours), functional.linear(theirs, weight)
    assert output.dtype is dtype
    assert torch.equal(output, wanted)
    gradient = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    output.backward(gradient)
    wanted.backward(gradient)
    assert ours.grad is not None
    assert theirs.grad is not None
    # The same product over another shape: the order of the sums may differ.
    limit = 1e-6 if dtype is torch.float32 else 1e-2
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=limit, atol=10 * limit)


@pytest.mark.parametrize("name", TYPES)
def test_the_dense_weight_is_ggmls_bit_for_bit(name: str) -> None:
    assert torch.equal(_layer(name).dense(), _dense(name))


def test_training_and_evaluation_leave_the_blocks_as_they_are() -> None:
    layer = _layer("Q4_0")
    before = layer.weight.clone()
    x = torch.randn(3, ROW_LENGTH, requires_grad=True)
    layer(x).sum().backward()
    first = x.grad
    layer.eval()
    with torch.no_grad():
        layer(x)
    x.grad = None
    layer.train()(x).sum().backward()
    assert first is not None
    assert x.grad is not None
    assert torch.equal(first, x.grad)
    assert torch.equal(layer.weight, before)


def test_no_dequantised_weight_is_kept_for_the_backward_pass() -> None:
    saved: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    layer = _layer("Q8_0")
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        layer(torch.randn(3, ROW_LENGTH, requires_grad=True))
    assert [tensor.data_ptr() for tensor in saved] == [layer.weight.data_ptr()]


def test_the_blocks_are_no_parameter_and_stay_out_of_saved_weights() -> None:
    layer = _layer("Q5_1")
    assert not list(layer.parameters())
    assert not layer.state_dict()
    assert "256, 40, Q5_1" in repr(layer)


def test_the_blocks_are_a_copy_of_the_files() -> None:
    blocks = _blocks("Q8_0")
    held = blocks_to_torch(blocks)
    blocks[:] = 0
    assert held.any()


@pytest.mark.parametrize("name", TYPES)
def test_an_embedding_looks_up_the_dense_rows(name: str) -> None:
    embedding = BlockEmbedding(blocks_to_torch(_blocks(name)), TensorType[name], torch.bfloat16)
    ids = torch.tensor([[3, 39, 3], [0, 1, 2]])
    found = embedding(ids)
    assert found.shape == (2, 3, ROW_LENGTH)
    assert torch.equal(found, _dense(name)[ids].bfloat16())
