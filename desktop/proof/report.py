"""What a proof is: a status, one figure, its bound, and a sentence; four of them make a report."""

from typing import Literal

from desktop.core.records import Record

Status = Literal["passed", "failed", "skipped"]
NAMES = ("text", "ids", "logits", "delta")


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
        """The four printed lines."""
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
    compared: int, differences: list[str], what: str, *remarks: str
) -> Proof:
    """A proof of equality: fails at the first difference and names up to three.

    `what` completes "12 ...", for example "rendered conversations equal".
    """
    if compared == 0:
        return Proof(status="failed", figure=None, bound=0, detail="; ".join(
            ["nothing was compared", *remarks]))
    named = "; ".join([*differences[:3], *remarks])
    count = f"{compared - len(differences)} of {compared} {what}"
    return Proof(
        status="failed" if differences else "passed", figure=len(differences), bound=0,
        detail=f"{count}; {named}" if named else count,
    )


def skipped(reason: str) -> Proof:
    """A proof that could not be made; it never counts as passed."""
    return Proof(status="skipped", figure=None, bound=None, detail=reason)


def _line(name: str, proof: Proof) -> str:
    return f"{name:<7}{proof.status:<8}{proof.detail}"
