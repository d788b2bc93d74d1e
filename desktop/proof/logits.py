"""Proof "logits": the served file computes what was trained (DESIGN 5, bounds measured there)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from desktop.core.records import Record
from desktop.proof.report import Check, Proof, proof_of_checks

ADAPTER_BOUND = 0.01
TORCH_FLOOR = 2e-3
EXPANSION_BOUND = {"qlora": 2e-3, "scales": 1e-8}
SERVER_BOUND = 0.1
CLEAR_LEAD = 1.0
EFFECT_RANGE = (0.9, 1.1)
HARDLY_CHANGED = 0.01


class RowDivergence(Record):
    """Kullback-Leibler sums in nats over one row's answer tokens; None where a side is absent.

    adapter_file: base + our GGUF adapter against the file, both in llama.cpp. torch_file: torch
    tuned against the file. torch_base: base in torch against the base file in llama.cpp.
    torch_expansion: torch tuned against the F32 expansion of the file. effect_llama, effect_torch:
    base against tuned, each in its own engine.
    """

    tokens: int
    adapter_file: float | None
    torch_file: float
    torch_base: float
    torch_expansion: float | None
    effect_llama: float
    effect_torch: float


class ServedRow(Record):
    """One greedy chat of the server, scored by us on the file.

    first_choice_differs: positions where the server's first choice is not ours although the two
    best of either side differ by more than 1.0. log_prob_differences: one a token.
    """

    first_choice_differs: int
    log_prob_differences: tuple[float, ...]


def divergence(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Sum over rows of KL(first || second); both (tokens, vocabulary) float32 log-probabilities."""
    possible = ~np.isneginf(first)  # 0 * log(0 / q) is 0
    wide = first[possible].astype(np.float64)
    return float((np.exp(wide) * (wide - second[possible])).sum())


def judge_logits(
    rows: Sequence[RowDivergence], method: str, served: Sequence[ServedRow] | None
) -> Proof:
    """All bounds that apply. `served` is None without a server, which the detail then says."""
    tokens = sum(row.tokens for row in rows)
    if not tokens:
        return Proof(status="failed", figure=None, bound=None, detail="no tokens were compared")
    checks = _file_checks(rows, method, tokens)
    remarks = [f"{len(rows)} rows, {tokens} answer tokens"]
    if served is None:
        remarks.append("the server's own answers were left out: no server")
    elif not served:
        return Proof(status="failed", figure=None, bound=None, detail="the server gave no answers")
    else:
        checks += _server_checks(served)
    effect_torch = sum(row.effect_torch for row in rows) / tokens
    effect_llama = sum(row.effect_llama for row in rows) / tokens
    if effect_torch < HARDLY_CHANGED:
        remarks.append(f"hardly changed: KL from the base {effect_torch:.2g}")
    else:
        low, high = EFFECT_RANGE
        checks.append(Check(
            name="effect of the tuning, file to torch", figure=effect_llama / effect_torch,
            low=low, high=high,
        ))
    return proof_of_checks(checks, *remarks)


def _file_checks(rows: Sequence[RowDivergence], method: str, tokens: int) -> list[Check]:
    noise = sum(row.torch_base for row in rows) / tokens
    checks = [Check(
        name="KL torch to file", figure=sum(row.torch_file for row in rows) / tokens,
        high=max(1.5 * noise, TORCH_FLOOR),
    )]
    adapter = [row.adapter_file for row in rows if row.adapter_file is not None]
    if adapter:
        checks.insert(0, Check(
            name="KL base + adapter to file", figure=sum(adapter) / tokens, high=ADAPTER_BOUND
        ))
    expansion = [row.torch_expansion for row in rows if row.torch_expansion is not None]
    if expansion:
        checks.append(Check(
            name="KL torch to F32 expansion", figure=sum(expansion) / tokens,
            high=EXPANSION_BOUND[method],
        ))
    return checks


def _server_checks(served: Sequence[ServedRow]) -> list[Check]:
    differences = [value for row in served for value in row.log_prob_differences]
    mean = float(np.mean(np.abs(differences))) if differences else float("nan")
    return [
        Check(
            name="server's clear first choices that differ",
            figure=sum(row.first_choice_differs for row in served), high=0,
        ),
        Check(name="server's log-probabilities, mean difference", figure=mean, high=SERVER_BOUND),
    ]
