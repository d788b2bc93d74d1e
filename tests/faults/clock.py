"""Runs a child whose wall clock jumps when it says so; needs a C compiler (FAULTS F33)."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.strace_kill import ROOT

FILE = "TUNEDESK_TEST_CLOCK"
DAY_S = 86_400


def built_shim(folder: Path) -> Path:
    """Compile the library that is loaded before libc."""
    library = folder / "clock_shim.so"
    source = Path(__file__).with_suffix(".c").with_stem("clock_shim")
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library)]
    subprocess.run([*command, str(source)], check=True)
    return library


def run_with_jumps(shim: Path, scratch: Path, *arguments: str) -> str:
    """Run a child of `tests.faults.clock_children`; what it printed."""
    jumps = scratch / "clock"
    jumps.write_text("0")
    environment = os.environ | {
        "LD_PRELOAD": str(shim), FILE: str(jumps), "PYTHONPATH": str(ROOT),
        "OPENBLAS_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-B", "-P", "-m", "tests.faults.clock_children", *arguments]
    run = subprocess.run(
        command, env=environment, text=True, timeout=60, check=True, stdout=subprocess.PIPE
    )
    return run.stdout


def jump(seconds: int) -> None:
    """In the child: from now on the clock is that far from the real one."""
    Path(os.environ[FILE]).write_text(str(seconds))


def jumping() -> Iterator[int]:
    """In the child: a day ahead, a day back, to 1970, and right again; the jump each time."""
    for seconds in (0, DAY_S, -DAY_S, -int(time.time()) + DAY_S, 0):
        jump(seconds)
        yield seconds
