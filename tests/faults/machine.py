"""What this machine allows: each marker of a fault test, and why its tests cannot run here."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path


def reason_against(marker: str) -> str:
    """Why tests with this marker are skipped here; empty if they run, or if it asks for nothing."""
    check = _CHECKS.get(marker)
    return check() if check else ""


@cache
def _against_root() -> str:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux, to mount a small or read-only disk"
    with tempfile.TemporaryDirectory() as folder:
        return _failure("mount", "-t", "tmpfs", "tmpfs", folder) or _failure("umount", folder)


@cache
def _against_strace() -> str:
    if not shutil.which("strace"):
        return "needs strace, which injects the kills"
    return _failure("strace", "-o", os.devnull, "-e", "inject=fsync:signal=SIGKILL:when=1", "true")


@cache
def _against_loop() -> str:
    if _against_root() or not shutil.which("mkfs.ext4"):
        return _against_root() or "needs mkfs.ext4"
    with tempfile.TemporaryDirectory() as folder:
        image, place = Path(folder, "image"), Path(folder, "place")
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(4 << 20)
        return (
            _failure("mkfs.ext4", "-q", str(image))
            or _failure("mount", "-o", "loop", str(image), str(place))
            or _failure("umount", str(place))
        )


@cache
def _against_compiler() -> str:
    return "" if shutil.which("cc") else "needs a C compiler (cc)"


def _failure(*command: str) -> str:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else f"`{command[0]}` is refused here: {run.stderr.strip()}"


_CHECKS: dict[str, Callable[[], str]] = {
    "root": _against_root, "strace": _against_strace, "loop": _against_loop,
    "compiler": _against_compiler,
}  # fmt: skip
