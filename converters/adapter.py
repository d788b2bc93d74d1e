"""LoRA adapters: PEFT's folder in, low-rank pairs in the GGUF's names and row order out.

Also writes them as a GGUF adapter that llama.cpp loads beside the base. Knows no torch.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.adapter_config import LoraConfig, read_lora_config
from converters.architectures import llama
from converters.errors import UserError
from converters.gguf.header import Header, TensorInfo, TensorType, ValueType
from converters.gguf.writer import TensorPlan, Written, encode_field, write_gguf

WEIGHTS_FILE = "adapter_model.safetensors"

Float32 = npt.NDArray[np.float32]

_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])(\.default)?\.weight")
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


@dataclass(frozen=True)
class LowRank:
    """One tensor's change: scale * b @ a, with a: (r, in) float32 and b: (out, r) float32.

    The rows of b are in the file's order (q and k are permuted there), so the product is too.
    """

    a: Float32
    b: Float32
    scale: float

    @property
    def rank(self) -> int:
        """The inner dimension r."""
        return self.a.shape[0]

    @property
    def is_zero(self) -> bool:
        """Whether the pair changes nothing: a module that was never trained."""
        return self.scale == 0 or not (self.a.any() and self.b.any())


@dataclass(frozen=True)
class Adapter:
    """A checked LoRA adapter for one base: every tensor exists there, fits and is finite."""

    folder: Path
    tensors: Mapping[str, LowRank]
    base_name: str

    @property
    def touched(self) -> frozenset[str]:
        """Names of the base's tensors that the adapter really changes."""
        return frozenset(name for name, pair in self.tensors.items() if not pair.is_zero)


def read_adapter(folder: Path, base: Header) -> Adapter:
    """Read a PEFT LoRA folder and fit it to the tensors of `base`.

    Raises UserError, naming the tensor, for everything that is damaged, does not belong to this
    base, or cannot be merged (DoRA, modules_to_save, embeddings, biases, ...).
    """
    if base.architecture != llama.NAME:
        raise UserError(
            f'Models of the architecture "{base.architecture}" cannot be tuned yet.',
            f"Supported: {llama.NAME}. Nothing was changed.",
            "Choose a model of a supported architecture.",
        )
    config = read_lora_config(folder)
    pairs = _pairs(_read_tensors(folder / WEIGHTS_FILE))
    tensors = {
        _tensor_name(module): _low_rank(module, sides, config, base)
        for module, sides in pairs.items()
    }
    return Adapter(folder, tensors, config.base_name)


def write_gguf_adapter(path: Path, adapter: Adapter, base: Header) -> Written:
    """Write the adapter as a GGUF that llama.cpp applies to `base` at run time (FACTS 1.9).

    `adapter.lora.alpha` is 0.0, which llama.cpp reads as "scale 1": each tensor's own scale is
    folded into its B, so rank-stabilised and per-module strengths come out right.
    """
    fields = [
        encode_field("general.architecture", ValueType.STRING, base.architecture),
        encode_field("general.type", ValueType.STRING, "adapter"),
        encode_field("adapter.type", ValueType.STRING, "lora"),
        encode_field("adapter.lora.alpha", ValueType.FLOAT32, 0.0),
    ]
    plans = [plan for name, pair in adapter.tensors.items() for plan in _plans(name, pair)]
    return write_gguf(path, fields, plans)


def _plans(name: str, pair: LowRank) -> tuple[TensorPlan, TensorPlan]:
    b = np.ascontiguousarray(pair.b * np.float32(pair.scale))
    return (
        TensorPlan(f"{name}.lora_a", pair.a.shape, TensorType.F32, lambda: memoryview(pair.a)),
        TensorPlan(f"{name}.lora_b", b.shape, TensorType.F32, lambda: memoryview(b)),
    )


def _read_tensors(path: Path) -> dict[str, Float32]:
    """Every tensor of a safetensors file as float32, checked for NaN and infinity."""
    from safetensors import SafetensorError, deserialize  # noqa: PLC0415 - part of `train`

    try:
        entries = deserialize(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            "The adapter has no weights.",
            f"There is no {WEIGHTS_FILE} in {path.parent}. Pickle files (.bin) are not read.",
            "Save the adapter with PEFT's save_pretrained, which writes safetensors.",
        ) from None
    except (SafetensorError, OSError) as error:
        raise _damaged(f"{path.name} cannot be read: {error}.") from error
    # safetensors gives them in another order each time; errors must name the same tensor again.
    return {name: _float32(name, entry) for name, entry in sorted(entries, key=itemgetter(0))}


def _float32(name: str, entry: Mapping[str, Any]) -> Float32:
    kind, shape = entry["dtype"], entry["shape"]
    if kind == "BF16":
        # numpy has no bfloat16: it is the upper half of a float32
        halves = np.frombuffer(entry["data"], dtype="<u2").astype("<u4")
        values = (halves << 16).view("<f4")
    elif kind in _FLOATS:
        values = np.frombuffer(entry["data"], dtype=_FLOATS[kind]).astype(np.float32)
    else:
        raise _damaged(f"The tensor {name} has the type {kind}, not a float.")
    if not np.isfinite(values).all():
        bad = int(values.size - np.isfinite(values).sum())
        raise _damaged(f"The tensor {name} has {bad:,} values that are not finite (NaN).")
    return values.reshape(shape)


def _pairs(tensors: Mapping[str, Float32]) -> dict[str, dict[str, Float32]]:
    """Module name -> {"A": ..., "B": ...}. Raises UserError for keys that are no LoRA pair."""
    pairs: dict[str, dict[str, Float32]] = {}
    unknown = sorted(key for key in tensors if not _KEY.fullmatch(key))
    if unknown:
        raise _foreign(unknown)
    for key, values in tensors.items():
        match = _KEY.fullmatch(key)
        assert match is not None
        sides = pairs.setdefault(match["module"], {})
        if match["side"] in sides:
            raise _damaged(f"The tensor {key} is there twice.")
        sides[match["side"]] = values
    if not pairs:
        raise _damaged("It has no tensors.")
    return pairs


def _foreign(keys: list[str]) -> UserError:
    shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
    return UserError(
        "This adapter cannot be merged.",
        f"It has tensors that are no plain LoRA of a linear layer: {shown}. "
        "Embeddings, whole layers, biases and DoRA are not merged. Nothing was changed.",
        "Train a plain LoRA on the linear layers of the blocks.",
    )


def _tensor_name(module: str) -> str:
    name = llama.tensor_name(module)
    if name is None:
        raise _foreign([f"{module}.lora_A"])
    return name


def _low_rank(
    module: str, sides: Mapping[str, Float32], config: LoraConfig, base: Header
) -> LowRank:
    for side in "AB":
        if side not in sides:
            raise _damaged(f"The tensor {module}.lora_{side} is missing.")
    info = _base_tensor(module, base)
    a, b, rank = sides["A"], sides["B"], config.rank_of(module)
    _check_shape(f"{module}.lora_A", a.shape, (rank, info.shape[1]))
    _check_shape(f"{module}.lora_B", b.shape, (info.shape[0], rank))
    heads = llama.heads_of_rows(info.name, *_heads(base))
    if heads is not None and info.shape[0] % (2 * heads):
        raise _damaged(f"The base's {info.name} has {info.shape[0]} rows for {heads} heads.")
    if heads is not None:
        b = llama.to_file_rows(b, heads)
    return LowRank(np.ascontiguousarray(a), np.ascontiguousarray(b), config.scale_of(module))


def _base_tensor(module: str, base: Header) -> TensorInfo:
    name = _tensor_name(module)
    try:
        info = base.tensor(name)
    except KeyError:
        raise UserError(
            "The adapter does not belong to this base.",
            f"It changes {name} ({module}), which the base does not have. Nothing was changed.",
            "Choose the model that the adapter was trained on.",
        ) from None
    if len(info.shape) != 2:
        raise _damaged(f"The base's {name} has {len(info.shape)} dimensions, not 2.")
    return info


def _check_shape(name: str, shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    if shape != expected:
        raise UserError(
            "The adapter does not fit this base.",
            f"The tensor {name} has the shape {_text(shape)}; the base and the adapter's rank "
            f"ask for {_text(expected)}. Nothing was changed.",
            "Choose the model that the adapter was trained on.",
        )


def _heads(base: Header) -> tuple[int, int]:
    """(query heads, key-value heads) of the base, both at least 1."""
    n_head = int(base.number("llama.attention.head_count", 0))
    n_head_kv = int(base.number("llama.attention.head_count_kv", n_head))
    if min(n_head, n_head_kv) < 1:
        raise _damaged("The base names no attention heads.")
    return n_head, n_head_kv


def _text(shape: tuple[int, ...]) -> str:
    return f"({', '.join(str(n) for n in shape)}), {math.prod(shape):,} values"


def _damaged(detail: str) -> UserError:
    return UserError(
        "The adapter is damaged or does not fit.",
        f"{detail} The base is unchanged.",
        "Save the adapter again, or take the last checkpoint of its job.",
    )
