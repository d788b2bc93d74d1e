"""Where training and proofs compute."""

from typing import Literal

import torch


def best_device() -> Literal["cuda", "cpu"]:
    """The CUDA card if torch can use one, else the processor."""
    return "cuda" if torch.cuda.is_available() else "cpu"
