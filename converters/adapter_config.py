"""`adapter_config.json` as PEFT writes it: which LoRA it describes and the scale of each module.

Knows nothing about tensors. Everything that PEFT can train but a merge cannot reproduce is refused
by name, because an ignored setting would come out as another model without a word.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import UserError

CONFIG_FILE = "adapter_config.json"

_REFUSED = {
    "use_dora": "DoRA also trains the length of every row",
    "use_qalora": "QA-LoRA pools its inputs by groups",
    "fan_in_fan_out": "its weights are stored transposed",
    "lora_bias": "its low-rank layers carry biases",
    "modules_to_save": "whole layers were trained beside the low-rank ones",
    "trainable_token_indices": "single rows of the embedding were trained",
    "target_parameters": "parameters outside of linear layers were trained",
    "layer_replication": "it repeats layers of the base",
    "alora_invocation_tokens": "it is switched on by tokens at run time",
}
_HARMLESS_VARIANTS = {"use_rslora", "eva_config", "runtime_config"}
_BASE_STAYS = {True, False, "gaussian", "eva", "orthogonal"}


@dataclass(frozen=True)
class LoraConfig:
    """What a merge needs to know of a PEFT LoRA: ranks and strengths, per module where set."""

    rank: int
    alpha: float
    rank_stabilised: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    base_name: str

    def rank_of(self, module: str) -> int:
        """The rank of one module, named without PEFT's prefix (`model.layers.0...q_proj`)."""
        return int(_by_pattern(self.rank_pattern, module, self.rank))

    def scale_of(self, module: str) -> float:
        """The factor of B @ A: alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA.

        Source: peft tuners/lora/layer.py (update_layer), patterns as in peft utils/other.py.
        """
        rank = self.rank_of(module)
        alpha = float(_by_pattern(self.alpha_pattern, module, self.alpha))
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)


def read_lora_config(folder: Path) -> LoraConfig:
    """Read and check `folder/adapter_config.json`. Raises UserError for what cannot be merged."""
    raw = _read_json(folder / CONFIG_FILE)
    if str(raw.get("peft_type", "LORA")).upper() != "LORA":
        raise _cannot_merge(f"It is of the kind {raw['peft_type']}, not LoRA.")
    _refuse_variants(raw)
    try:
        config = LoraConfig(
            rank=int(raw["r"]),
            alpha=float(raw["lora_alpha"]),
            rank_stabilised=bool(raw.get("use_rslora", False)),
            rank_pattern={str(k): int(v) for k, v in (raw.get("rank_pattern") or {}).items()},
            alpha_pattern={str(k): float(v) for k, v in (raw.get("alpha_pattern") or {}).items()},
            base_name=str(raw.get("base_model_name_or_path") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(f"{CONFIG_FILE} has no usable rank and strength: {error!r}.") from error
    _check_numbers(config)
    return config


def _check_numbers(config: LoraConfig) -> None:
    ranks = [config.rank, *config.rank_pattern.values()]
    strengths = [config.alpha, *config.alpha_pattern.values()]
    if min(ranks) < 1 or not all(math.isfinite(alpha) for alpha in strengths):
        raise _damaged(f"{CONFIG_FILE} has rank {min(ranks)} and strengths {strengths}.")
    for pattern in [*config.rank_pattern, *config.alpha_pattern]:
        try:
            re.compile(pattern)
        except re.error as error:
            raise _damaged(f'{CONFIG_FILE} has a pattern "{pattern}": {error}.') from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            "This folder holds no adapter.",
            f"There is no {CONFIG_FILE} in {path.parent}.",
            "Choose the folder that PEFT's save_pretrained wrote.",
        ) from None
    except (ValueError, OSError) as error:
        raise _damaged(f"{path.name} cannot be read: {error}.") from error
    if not isinstance(raw, dict):
        raise _damaged(f"{path.name} is not a JSON object.")
    return raw


def _refuse_variants(raw: Mapping[str, Any]) -> None:
    for key, reason in _REFUSED.items():
        if raw.get(key):
            raise _cannot_merge(f"{key} is set: {reason}.")
    if raw.get("bias", "none") != "none":
        raise _cannot_merge(f'bias is "{raw["bias"]}": the base\'s biases were trained.')
    init = raw.get("init_lora_weights", True)
    if init not in _BASE_STAYS:
        raise _cannot_merge(f'init_lora_weights is "{init}": it changes the base itself.')
    # Later PEFT versions name each variant use_X or X_config: none of them may pass unseen.
    for key, value in raw.items():
        is_variant = key.startswith("use_") or key.endswith("_config")
        if is_variant and value and key not in _HARMLESS_VARIANTS:
            raise _cannot_merge(f"{key} is set: this variant of LoRA is not known here.")


def _by_pattern(pattern: Mapping[str, Any], module: str, default: Any) -> Any:
    for key, value in pattern.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default


def _cannot_merge(detail: str) -> UserError:
    return UserError(
        "This adapter cannot be merged.",
        f"{detail} The base and the adapter are unchanged.",
        "Train a plain LoRA (rank-stabilised is fine, also ranks and strengths per module).",
    )


def _damaged(detail: str) -> UserError:
    return UserError(
        "The adapter is damaged.",
        f"{detail} The base is unchanged.",
        "Save the adapter again, or take the last checkpoint of its job.",
    )
