"""The state of every source of chance that a training step may draw from, as plain arrays."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

PREFIX = "random."
_PYTHON, _PYTHON_GAUSS = "random.python", "random.python_gauss"
_NUMPY, _NUMPY_PLACE, _NUMPY_GAUSS = "random.numpy", "random.numpy_place", "random.numpy_gauss"
_TORCH, _CUDA = "random.torch", "random.cuda"
_PYTHON_VERSION, _NUMPY_KIND = 3, "MT19937"


def capture(device: str) -> dict[str, np.ndarray]:
    """The states of Python, numpy, torch and, if `device` is one, of the CUDA card."""
    _, words, gauss = random.getstate()
    kind = np.random.get_state(legacy=True)
    arrays = {
        _PYTHON: np.array(words, np.uint32),
        _PYTHON_GAUSS: np.array([] if gauss is None else [gauss], np.float64),
        _NUMPY: np.array(kind[1], np.uint32),
        _NUMPY_PLACE: np.array([kind[2], kind[3]], np.int64),
        _NUMPY_GAUSS: np.array([kind[4]], np.float64),
        _TORCH: torch.random.get_rng_state().numpy().copy(),
    }
    if device.startswith("cuda"):
        arrays[_CUDA] = torch.cuda.get_rng_state(device).numpy().copy()
    return arrays


def restore(arrays: Mapping[str, np.ndarray], device: str) -> None:
    """Put back what `capture` returned."""
    gauss = arrays[_PYTHON_GAUSS].tolist()
    words = tuple(arrays[_PYTHON].tolist())
    random.setstate((_PYTHON_VERSION, words, gauss[0] if gauss else None))
    place, has_gauss = arrays[_NUMPY_PLACE].tolist()
    of_numpy = (_NUMPY_KIND, arrays[_NUMPY], place, has_gauss, float(arrays[_NUMPY_GAUSS][0]))
    np.random.set_state(of_numpy)
    torch.random.set_rng_state(torch.from_numpy(arrays[_TORCH].copy()))
    if device.startswith("cuda"):
        torch.cuda.set_rng_state(torch.from_numpy(arrays[_CUDA].copy()), device)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Everything starts from `seed` within the block; afterwards all is as it was before."""
    before = capture(device)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        restore(before, device)
