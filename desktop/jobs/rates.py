"""How long a run takes, from what finished jobs on this machine took; else a rough estimate.

Reads `train.json`, `result.json` and `spec.json` of the jobs and nothing else.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import UserError
from converters.gguf.header import Header, read_header
from finetune.plan_activations import Compute

MEASURE_S = 0.2
MATRIX = 768
# Measured on SmolLM2: training reaches so much of numpy's float32 matrix products.
SHARE_16_BIT, SHARE_FLOAT32 = 0.8, 0.35
FLOP_A_WEIGHT = 4
# Rendering, scoring, comparing and proving take about as long as training so many tokens.
OTHER_STEPS_TOKENS = 60_000
TRAIN = "train"


@dataclass(frozen=True)
class Measured:
    """One finished job: tokens trained a second, and the seconds of all other steps."""

    base_sha256: str
    form: str
    rank: int
    weights: int
    tokens_per_s: float
    other_seconds: float


@dataclass(frozen=True)
class Wanted:
    """The run whose time is asked for. tokens: of all epochs; None if the data were not read."""

    base_sha256: str
    form: str
    rank: int
    weights: int
    tokens: int | None
    max_seconds: float | None = None


@dataclass(frozen=True)
class Estimate:
    """Seconds, None if unknown, and one sentence about where they come from."""

    seconds: float | None
    why: str


def estimate(jobs: Path, wanted: Wanted, compute: Compute) -> Estimate:
    """The time of a run, from the closest finished job of the folder `jobs`."""
    if wanted.tokens is None and wanted.max_seconds is None:
        return Estimate(None, "How long it takes is known once the data can be read.")
    found = list(measured_jobs(jobs))
    same = [job for job in found if _is_same(job, wanted)]
    if same:
        why = "The time is that of an earlier run with this model, form and rank on this machine."
        return Estimate(_seconds(wanted, same[-1].tokens_per_s, same[-1].other_seconds), why)
    if found:
        scale = found[-1].weights / wanted.weights
        why = (
            "The time is scaled from an earlier run with another model or setting; it may be half "
            "or twice as long."
        )
        rate, other = found[-1].tokens_per_s * scale, found[-1].other_seconds / scale
        return Estimate(_seconds(wanted, rate, other), why)
    if compute.device == "cuda":
        return Estimate(None, "How long it takes is known after the first steps.")
    rate = _rough_rate(wanted.weights, compute)
    why = (
        "The time is a rough estimate from a short test of the processor: it may be half or twice "
        "as long. It is known better after the first steps."
    )
    return Estimate(_seconds(wanted, rate, OTHER_STEPS_TOKENS / rate), why)


def measured_jobs(jobs: Path) -> Iterator[Measured]:
    """The finished jobs, oldest first; folders that cannot be read are passed over."""
    for folder in sorted(jobs.glob("*")):
        try:
            yield _read(folder)
        except (OSError, ValueError, KeyError, TypeError, UserError):
            continue  # unfinished, damaged or of another version: it measures nothing


def _read(folder: Path) -> Measured:
    spec = json.loads((folder / "spec.json").read_bytes())
    train = json.loads((folder / "artefacts" / "train.json").read_bytes())
    seconds = json.loads((folder / "artefacts" / "result.json").read_bytes())["seconds"]
    header = read_header(Path(spec["base"]["path"]))
    return Measured(
        base_sha256=spec["base"]["sha256"], form=spec["tune"]["base"], rank=spec["tune"]["rank"],
        weights=weights_of(header), tokens_per_s=train["tokens"] / train["seconds"],
        other_seconds=sum(took for step, took in seconds.items() if step != TRAIN),
    )


def weights_of(header: Header) -> int:
    """How many weights a model has."""
    return sum(info.n_rows * info.row_length for info in header.tensors)


def _is_same(job: Measured, wanted: Wanted) -> bool:
    return (job.base_sha256, job.form, job.rank) == (wanted.base_sha256, wanted.form, wanted.rank)


def _seconds(wanted: Wanted, rate: float, other: float) -> float:
    training = wanted.max_seconds or (wanted.tokens or 0) / rate
    return round(training + other, 1)


def _rough_rate(weights: int, compute: Compute) -> float:
    """Tokens a second by the processor's own matrix products."""
    chance = np.random.default_rng(0)
    left, right = (chance.random((MATRIX, MATRIX), dtype=np.float32) for _ in range(2))
    _ = left @ right  # starts the threads
    started, products = time.monotonic(), 0
    while (took := time.monotonic() - started) < MEASURE_S or not products:
        _ = left @ right
        products += 1
    flop_s = 2 * MATRIX**3 * products / took
    share = SHARE_16_BIT if compute.value_bytes == 2 else SHARE_FLOAT32
    return share * flop_s / (FLOP_A_WEIGHT * weights)
