"""What a proof is: a status, one figure, its bound, and a sentence; four of them make a report."""

from collections.abc import Sequence
from typing import Literal

from desktop.core.records import Record

Status = Literal["passed", "failed", "skipped"]
NAMES = ("text", "ids", "logits", "delta")
MEANINGS = {
    "text": "the created model is given every conversation as in training",
    "ids": "the file reads every text as the tokens that were trained",
    "logits": "the served file computes what was trained",
    "delta": "the file holds the trained change and nothing else changed",
}


class Proof(Record):
    """One proof. `figure` and `bound` are its most telling number and what it must not exceed
    (or fall below: the detail says which); None where there is nothing to measure."""

    status: Status
    figure: float | None
    bound: float | None
    detail: str


class ProofReport(Record):
    """The four proofs of one exported model (DESIGN 5)."""

    text: Proof
    ids: Proof
    logits: Proof
    delta: Proof

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the proofs that failed."""
        return tuple(name for name in NAMES if getattr(self, name).status == "failed")

    def lines(self) -> list[str]:
        """The four printed lines: what each proof means and its leading figure; all figures where
        one did not pass."""
        return [_line(name, getattr(self, name)) for name in NAMES]


class Check(Record):
    """One comparison inside a proof: passes when `figure` lies in [`low`, `high`]."""

    name: str
    figure: float
    low: float = float("-inf")
    high: float = float("inf")

    @property
    def passes(self) -> bool:
        """NaN never passes."""
        return self.low <= self.figure <= self.high

    def sentence(self) -> str:
        """`KL torch to file 0.00035 (at most 0.002)`."""
        bounds = [
            word for word, value in (
                (f"at least {self.low:.4g}", self.low), (f"at most {self.high:.4g}", self.high)
            ) if abs(value) != float("inf")
        ]
        return f"{self.name} {self.figure:.4g}" + (f" ({', '.join(bounds)})" if bounds else "")


def proof_of_checks(checks: list[Check], *remarks: str) -> Proof:
    """A proof that passes when every check does; the figure is that of the worst check.

    The first failed check comes first in the detail, with all the others behind it.
    """
    ordered = sorted(checks, key=lambda check: check.passes)
    leading = ordered[0]
    bound = leading.high if leading.high != float("inf") else leading.low
    return Proof(
        status="passed" if leading.passes else "failed",
        figure=leading.figure,
        bound=bound if abs(bound) != float("inf") else None,
        detail="; ".join([*(check.sentence() for check in ordered), *remarks]),
    )


def proof_of_differences(
    compared: int, differences: list[str], what: str, *remarks: str, faults: Sequence[str] = ()
) -> Proof:
    """A proof of equality: fails at the first difference and names up to three.

    `what` completes "12 of 12 ...", for example "rendered conversations equal". faults: what else
    is wrong, beside the things that were counted.
    """
    if compared == 0:
        detail = "; ".join(["nothing was compared", *faults, *remarks])
        return Proof(status="failed", figure=None, bound=0, detail=detail)
    count = f"{compared - len(differences)} of {compared} {what}"
    found = len(differences) + len(faults)
    return Proof(
        status="failed" if found else "passed", figure=found, bound=0,
        detail="; ".join([*faults[:3], count, *differences[:3], *remarks]),
    )


def skipped(reason: str) -> Proof:
    """A proof that could not be made; it never counts as passed."""
    return Proof(status="skipped", figure=None, bound=None, detail=reason)


def _line(name: str, proof: Proof) -> str:
    if proof.status != "passed":
        return f"{name:<7}{proof.status:<8}{proof.detail}"
    leading = proof.detail.split(";")[0]
    return f"{name:<7}{proof.status:<8}{MEANINGS[name]} ({leading})"
