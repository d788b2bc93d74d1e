"""What an export did: the file, the types its tensors took, and what survived of the change."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.gguf.retention import Retention, summed
from converters.gguf.tensor_types import TensorType


@dataclass(frozen=True)
class TensorOutcome:
    """What a touched tensor was, what it became, and what survived of the change."""

    base_type: TensorType
    type: TensorType
    retention: Retention


@dataclass(frozen=True)
class Exported:
    """A finished export: the file, what happened to its tensors, and the figures for the gate.

    touched + identical is the number of tensors; requantised counts the touched ones by the name
    of their new type; raised counts those that took a larger type than the one asked for, being
    in that one already.
    """

    gguf: Path
    sha256: str
    n_bytes: int
    identical: int
    raised: int
    tensors: Mapping[str, TensorOutcome]
    seconds: float
    peak_rss_bytes: int
    next_level_exists: bool

    @property
    def touched(self) -> int:
        """How many tensors the adapter changed."""
        return len(self.tensors)

    @property
    def requantised(self) -> dict[str, int]:
        """Touched tensors by the name of the type they were written in."""
        return dict(Counter(outcome.type.name for outcome in self.tensors.values()))

    @property
    def retention(self) -> Retention:
        """What survived, over all touched tensors together."""
        return summed(outcome.retention for outcome in self.tensors.values())

    @property
    def classes(self) -> dict[str, Retention]:
        """The same per tensor class (`attn_q`, `ffn_down`, ...), in alphabetical order."""
        names = sorted({_class_of(name) for name in self.tensors})
        return {
            kind: summed(o.retention for name, o in self.tensors.items() if _class_of(name) == kind)
            for kind in names
        }

    def as_json(self) -> dict[str, Any]:
        """The document that `tunedesk export --json` prints (DESIGN 7)."""
        total = self.retention.as_json()
        return {
            "gguf": str(self.gguf),
            "sha256": self.sha256,
            "bytes": self.n_bytes,
            "tensors": {
                "touched": self.touched,
                "identical": self.identical,
                "requantised": self.requantised,
                "raised": self.raised,
            },
            "retention": total["retained"],
            "noise": total["noise"],
            "change": total["change"],
            "classes": {kind: part.as_json() for kind, part in self.classes.items()},
            "seconds": round(self.seconds, 3),
            "peak_rss_bytes": self.peak_rss_bytes,
        }


def _class_of(tensor: str) -> str:
    """`blk.3.attn_q.weight` -> `attn_q`."""
    return tensor.removesuffix(".weight").rsplit(".", 1)[-1]
