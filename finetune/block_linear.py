"""Linear and Embedding on quantised blocks: weights are dequantised at use and never kept.

The forward keeps the blocks, not the weights; the backward dequantises again. One code path for
CPU and CUDA. The blocks are frozen: only the gradient of the input is computed.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from converters.gguf.block_layouts import BlockLayout, layout
from converters.gguf.tensor_types import TensorType


class BlockLinear(nn.Linear):
    """y = x W^T with W given as blocks; the dtype of the input is the dtype of the product.

    blocks: (out_features, bytes_per_row) uint8 in the rows' order of the module (see
    `converters.architectures`). It is an `nn.Linear` so that peft wraps it as one; its `weight`
    is the blocks themselves and no parameter.
    """

    def __init__(self, blocks: torch.Tensor, tensor_type: TensorType) -> None:
        nn.Module.__init__(self)
        self.layout: BlockLayout = layout(tensor_type)
        self.out_features = blocks.shape[0]
        self.in_features = blocks.shape[1] // self.layout.n_bytes * self.layout.values
        self.register_parameter("bias", None)
        self.register_buffer("weight", blocks, persistent=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features) in the dtype of `input`."""
        product: torch.Tensor = _BlockProduct.apply(input, self.weight, self.layout)  # pyright: ignore
        return product

    def dense(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The dequantised weight: (out_features, in_features)."""
        return self.layout.dequantize(self.weight, torch, dtype)

    def extra_repr(self) -> str:
        """What `print(model)` shows in the brackets."""
        return f"{self.in_features}, {self.out_features}, {self.layout.type.name}"


class BlockEmbedding(nn.Module):
    """Looks rows up among quantised blocks and dequantises those alone.

    weight: (n_tokens, bytes_per_row) uint8, shared with a tied head.
    """

    def __init__(
        self, blocks: torch.Tensor, tensor_type: TensorType, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.layout: BlockLayout = layout(tensor_type)
        self.dtype = dtype
        self.weight: torch.Tensor
        self.register_buffer("weight", blocks, persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(...) int64 -> (..., row length) in the module's dtype."""
        rows = self.layout.dequantize(self.weight[ids.reshape(-1)], torch, self.dtype)
        return rows.reshape(*ids.shape, -1)


def blocks_to_torch(blocks: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """A private copy of file blocks: (rows, bytes_per_row) uint8 on `device`."""
    return torch.from_numpy(np.array(blocks)).to(device)


class _BlockProduct(torch.autograd.Function):
    """x W^T; saves the blocks. The gradient of W is never asked for."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, blocks: torch.Tensor, layout: BlockLayout
    ) -> torch.Tensor:
        ctx.save_for_backward(blocks)
        ctx.layout = layout
        return functional.linear(x, layout.dequantize(blocks, torch, x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (blocks,) = ctx.saved_tensors
        (gradient,) = gradients
        weight = ctx.layout.dequantize(blocks, torch, gradient.dtype)
        return gradient @ weight, None, None
