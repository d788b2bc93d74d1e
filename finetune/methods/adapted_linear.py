"""peft's LoRA layer with its product in the model's own 16-bit type and one node of the graph.

peft alone casts every input to float32 and keeps the copies: on SmolLM2 that is a sixth of the
time and half of the memory. In float32 (all parity figures) peft's own forward runs, and with
dropout while training: the frozen product and the adapter's then see other inputs.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from converters.gguf.block_layouts import BlockLayout
from finetune.block_linear import BlockLinear
from finetune.methods.quiet_peft import LoraLinear


class AdaptedLinear(LoraLinear):
    """y = x W^T + scale (x A^T) B^T on a frozen W, dense or in blocks; A and B are float32."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """(..., in_features) -> (..., out_features) in the dtype of `x`."""
        (name,) = self.active_adapters
        plain = not self.disable_adapters and not self.merged and name not in self.lora_variant
        plain = plain and not (self.training and isinstance(self.lora_dropout[name], nn.Dropout))
        if x.dtype is torch.float32 or not plain or args or kwargs:
            return super().forward(x, *args, **kwargs)
        first, second = self.lora_A[name].weight, self.lora_B[name].weight
        product: torch.Tensor = _AdaptedProduct.apply(
            x, first, second, self.scaling[name], *_frozen(self.get_base_layer())
        )  # pyright: ignore[reportAssignmentType]
        return product


def _frozen(layer: nn.Module) -> tuple[torch.Tensor, BlockLayout | None]:
    assert isinstance(layer, nn.Linear)
    return layer.weight, layer.layout if isinstance(layer, BlockLinear) else None


def _dense(weight: torch.Tensor, layout: BlockLayout | None, dtype: torch.dtype) -> torch.Tensor:
    return weight if layout is None else layout.dequantize(weight, torch, dtype)


class _AdaptedProduct(torch.autograd.Function):
    """Saves the input once, in its own dtype, and the frozen weight as it is stored."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        first: torch.Tensor,
        second: torch.Tensor,
        scale: float,
        weight: torch.Tensor,
        layout: BlockLayout | None,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        first, second = first.to(x.dtype), (second * scale).to(x.dtype)
        inner = functional.linear(rows, first)
        output = functional.linear(rows, _dense(weight, layout, x.dtype))
        output.addmm_(inner, second.t())
        ctx.save_for_backward(rows, first, second, inner, weight)
        ctx.layout, ctx.scale, ctx.shape = layout, scale, x.shape
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        rows, first, second, inner, weight = ctx.saved_tensors
        gradient = gradients[0].reshape(rows.shape[0], -1)
        of_inner = gradient @ second
        of_second = (gradient.t() @ inner).float().mul_(ctx.scale)
        of_first = (of_inner.t() @ rows).float()
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = gradient @ _dense(weight, ctx.layout, gradient.dtype)
            of_x = of_x.addmm_(of_inner, first).view(ctx.shape)
        return of_x, of_first, of_second, None, None, None
