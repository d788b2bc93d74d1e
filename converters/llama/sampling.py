"""Chooses the next token from its logits, by the options that Ollama's users know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; the defaults are Ollama's. temperature 0 takes the likeliest."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    seed: int | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """The sampling of Ollama-like `options`; what steers other things than sampling is left."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in options.items() if name in names})


class Sampler:
    """Draws tokens one after the other; the same seed gives the same draws."""

    def __init__(self, options: Sampling) -> None:
        self._options = options
        self._random = np.random.default_rng(options.seed)

    def choose(self, logits: npt.NDArray[np.float32], recent: Sequence[int]) -> int:
        """The next id. logits: (n_vocab,) float32, not changed; recent: the ids before it."""
        options = self._options
        logits = _penalised(logits, recent, options)
        if options.temperature <= 0 or options.top_k == 1:
            return int(logits.argmax())
        ids, chances = _candidates(logits, options)
        return int(self._random.choice(ids, p=chances))


def _penalised(
    logits: npt.NDArray[np.float32], recent: Sequence[int], options: Sampling
) -> npt.NDArray[np.float32]:
    if options.repeat_penalty == 1.0 or options.repeat_last_n == 0 or not recent:
        return logits
    seen = np.unique(np.asarray(recent[-options.repeat_last_n :], np.int64))
    changed = logits.copy()
    values = changed[seen]
    factor = options.repeat_penalty
    changed[seen] = np.where(values > 0, values / factor, values * factor)
    return changed


def _candidates(
    logits: npt.NDArray[np.float32], options: Sampling
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Ids and chances after top_k, top_p, min_p and temperature, in llama.cpp's order."""
    count = options.top_k if 0 < options.top_k < len(logits) else len(logits)
    ids = np.argpartition(logits, -count)[-count:]
    ids = ids[np.argsort(-logits[ids], kind="stable")]
    chances = _softmax(logits[ids])
    before = np.cumsum(chances) - chances
    kept = (before < options.top_p) & (chances >= options.min_p * chances[0])
    kept[0] = True
    ids = ids[kept]
    return ids, _softmax(logits[ids] / options.temperature)


def _softmax(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    raised = np.exp(values.astype(np.float64) - values.max())
    return raised / raised.sum()
