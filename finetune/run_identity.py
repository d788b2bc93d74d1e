"""What decides the result of a run: a checkpoint is continued only where all of it is the same."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from converters.errors import UserError
from finetune.base_model import DTYPES, compute_dtype
from finetune.data.segments import TokenRow
from finetune.spec import TrainSpec

# Of the checkpoint's content (state.json, state.safetensors), not of its folder.
FORMAT = 1
_SETTINGS = (
    "form", "method", "rank", "alpha", "dropout", "learning_rate", "epochs", "tokens_per_step",
    "tokens_per_pass", "max_seconds", "clip", "evaluations", "evaluation_rows", "patience", "seed",
    "device",
)  # fmt: skip
Identity = dict[str, Any]


class OtherRun(UserError):
    """The checkpoints belong to a run with other data, base, version or settings."""


def identity_of(
    spec: TrainSpec, rows: Sequence[TokenRow], held_out: Sequence[TokenRow]
) -> Identity:
    """Plain values, ready for JSON."""
    return {
        "format": FORMAT,
        "torch": torch.__version__,
        "computes_in": str(DTYPES[spec.form] or compute_dtype(spec.device)).removeprefix("torch."),
        "base": spec.base_sha256,
        "rows": rows_sha256(rows),
        "held_out": rows_sha256(held_out),
        **spec.model_dump(mode="json", include=set(_SETTINGS)),
    }


def rows_sha256(rows: Sequence[TokenRow]) -> str:
    """Of the ids and of what is learnt, row after row; their numbers in a file do not count."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(len(row.ids).to_bytes(8, "little"))
        digest.update(np.array(row.ids, "<i8").tobytes())
        digest.update(bytes(row.learnt))
    return digest.hexdigest()


def check_same(earlier: Mapping[str, Any], now: Identity) -> None:
    """Raise OtherRun, which names each difference in words, unless both are equal."""
    found = list(differences(earlier, now))
    if found:
        raise OtherRun(
            "These checkpoints belong to another run.",
            f"Different now: {'; '.join(found)}. Nothing was changed.",
            "Put back what was changed to continue, or start a new run.",
        )


def differences(earlier: Mapping[str, Any], now: Identity) -> Iterator[str]:
    """Each difference in a few words."""
    texts = {
        "rows": "the data (other training rows)",
        "held_out": "the data (other held-out rows)",
        "base": "the base model (another file)",
    }
    names = {"format": "version of the checkpoint", "torch": "version of torch",
             "computes_in": "number format of the computation"}  # fmt: skip
    for key in dict.fromkeys([*now, *earlier]):
        was, is_now = earlier.get(key), now.get(key)
        if was != is_now:
            change = f"{names.get(key, f'setting {key}')}: {_shown(was)} -> {_shown(is_now)}"
            yield texts.get(key, change)


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
