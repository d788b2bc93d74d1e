"""What survived of a tuned change after a tensor was written in its new type (FACTS 1.8).

Sums only, so that a tensor can be measured in pieces and tensors added up to a class or a file.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Retention:
    """Sums over the values of one tensor, or of many.

    dot: <W_hat - W0, dW>. delta_sq: ||dW||^2. noise_sq: ||W_hat - W0 - dW||^2.
    base_sq: ||W0||^2. largest_error: max |W_hat - W0 - dW|, in grid steps of the written type.
    """

    dot: float = 0.0
    delta_sq: float = 0.0
    noise_sq: float = 0.0
    base_sq: float = 0.0
    largest_error: float = 0.0
    values: int = 0

    @property
    def retained(self) -> float:
        """<W_hat - W0, dW> / ||dW||^2: 1 is all of the change, 0 none. NaN without a change."""
        return self.dot / self.delta_sq if self.delta_sq else math.nan

    @property
    def noise(self) -> float:
        """||W_hat - W0 - dW|| / ||dW||, the rounding error in units of the change."""
        return math.sqrt(self.noise_sq / self.delta_sq) if self.delta_sq else math.nan

    @property
    def change(self) -> float:
        """||dW|| / ||W0||, how much was tuned at all."""
        return math.sqrt(self.delta_sq / self.base_sq) if self.base_sq else math.nan

    def as_json(self) -> dict[str, float]:
        """The three figures that a report shows, and the largest error in grid steps."""
        return {
            "retained": self.retained,
            "noise": self.noise,
            "change": self.change,
            "largest_error": self.largest_error,
        }


def measure(w0: Float32, w_hat: Float32, delta: Float32, steps: Float32 | None = None) -> Retention:
    """Compare what was written with what was wanted; all arrays (rows, n) float32.

    w0: the base's values. w_hat: the new tensor's values. delta: the change that was trained.
    steps: the grid step at each value (broadcast), for `largest_error`; None leaves it 0.
    """
    moved = w_hat - w0
    error = np.abs(moved - delta)
    return Retention(
        dot=_dot(moved, delta),
        delta_sq=_dot(delta, delta),
        noise_sq=_dot(error, error),
        base_sq=_dot(w0, w0),
        largest_error=_in_steps(error, steps),
        values=delta.size,
    )


def summed(parts: Iterable[Retention]) -> Retention:
    """The same figures over all parts together."""
    parts = list(parts)
    return Retention(
        dot=sum(part.dot for part in parts),
        delta_sq=sum(part.delta_sq for part in parts),
        noise_sq=sum(part.noise_sq for part in parts),
        base_sq=sum(part.base_sq for part in parts),
        largest_error=max((part.largest_error for part in parts), default=0.0),
        values=sum(part.values for part in parts),
    )


def _dot(left: Float32, right: Float32) -> float:
    return float(np.vdot(left.ravel(), right.ravel()))


def _in_steps(error: Float32, steps: Float32 | None) -> float:
    """The largest error over its own step; where the step is 0 any error is infinite."""
    if steps is None or not error.size:
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(error > 0, error / steps, 0)
    return float(ratios.max())
