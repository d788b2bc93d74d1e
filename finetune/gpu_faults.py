"""Faults of the GPU and its driver, recognised by their texts (FAULTS F2, F34), and a probe.

The classifier is pure and tested with recorded texts; the probe has not yet run on a real card.
"""

from dataclasses import dataclass

import torch

from converters.errors import UserError

_AGAIN = "Continue the run: a new process begins at the last checkpoint."
_RELOAD = (
    "Reload the driver's memory module with `sudo modprobe -r nvidia_uvm && sudo modprobe "
    "nvidia_uvm` (or restart the computer), then continue the run."
)
_PROBE_SIZE = 64


@dataclass(frozen=True)
class _Kind:
    name: str
    texts: tuple[str, ...]
    cause: str
    hint: str
    title: str = "The GPU stopped answering."


# The first one that fits counts, so the general ones come last. Texts are compared in lower case.
_KINDS = (
    _Kind(
        "old driver",
        ("driver version is insufficient", "nvidia driver on your system is too old"),
        "The NVIDIA driver is older than this version of torch needs.",
        "Update the NVIDIA driver, restart the computer, then continue the run.",
        "The GPU's driver is too old.",
    ),
    _Kind(
        "no kernel image",
        ("no kernel image is available",),
        "This version of torch was not built for this generation of GPU.",
        "Train on the processor, or on a newer GPU.",
        "The GPU cannot be used.",
    ),
    _Kind(
        "no driver",
        ("found no nvidia driver",),
        "No NVIDIA driver is loaded, so torch sees no card.",
        "Install or load the NVIDIA driver, then continue the run.",
        "The GPU cannot be used.",
    ),
    _Kind(
        "ecc",
        ("uncorrectable ecc error", "ecc_uncorrectable"),
        "Its memory reported an error that it could not correct.",
        "Restart the computer, then continue the run; if it comes back, the card is broken.",
    ),
    _Kind(
        "lost",
        ("fallen off the bus", "gpu is lost", "xid", "device is lost", "no cuda-capable device"),
        "The driver lost the card: power, heat, the slot or the driver itself.",
        "Restart the computer, then continue the run.",
    ),
    _Kind(
        "suspended",
        ("cuda unknown error", "cuda error: unknown error", "cuda_error_unknown",
         "cuda runtime error (999)", "cuda runtime error (30)"),
        "This happens after the computer was suspended.",
        _RELOAD,
    ),
    _Kind(
        "busy",
        ("devices are busy or unavailable",),
        "Another program holds it.",
        "Close the other program, then continue the run.",
    ),
    _Kind(
        "memory access",
        ("an illegal memory access", "unspecified launch failure", "misaligned address",
         "device-side assert", "illegal instruction", "launch timed out"),
        "A computation on it was broken off by the driver.",
        _AGAIN,
    ),
    _Kind(
        "other",
        ("cuda error", "cuda driver error", "cublas_status", "cudnn_status"),
        "The driver reported an error.",
        _AGAIN,
    ),
)  # fmt: skip


@dataclass
class GpuFault(UserError):
    """The GPU or its driver failed; nothing on the card can be used any more by this process."""

    kind: str = "other"


def gpu_fault(error: BaseException, kept: str = "") -> GpuFault | None:
    """The fault that an exception tells of, None if it is about something else.

    kept: the sentence that says what is on disk. Memory that ran out is not a fault: ask
    `out_of_memory` first.
    """
    if not isinstance(error, RuntimeError | AssertionError):
        return None
    text = str(error)
    lower = text.lower()
    for kind in _KINDS:
        if any(known in lower for known in kind.texts):
            said = text.splitlines()[0][:200]
            detail = f"{kind.cause} {kept}{' ' * bool(kept)}The driver said: {said}"
            return GpuFault(kind.title, detail, kind.hint, kind.name)
    return None


def probe(device: str) -> None:
    """Compute something small on a CUDA card. Raises GpuFault if that fails or is wrong."""
    if not device.startswith("cuda"):
        return
    try:
        ones = torch.ones(_PROBE_SIZE, _PROBE_SIZE, device=device)
        total = float((ones @ ones).sum())
    except (RuntimeError, AssertionError) as error:
        found = gpu_fault(error, "Nothing was changed.")
        if found is None:
            raise
        raise found from error
    if total != _PROBE_SIZE**3:
        raise GpuFault(
            "The GPU computes wrongly.",
            f"The sum of a product of ones was {total:g}, not {_PROBE_SIZE**3}.",
            "Restart the computer; if it comes back, the card is broken.",
            "wrong",
        )
