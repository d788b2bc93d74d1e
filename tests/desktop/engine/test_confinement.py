"""The leashes of a child of ours: its group, its parent's pipe, its own two pipes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from converters.children.process import child_environment

_GRANDCHILD = """
import subprocess, sys
from converters.children.confinement import end_own_group
started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(started.pid, flush=True)
end_own_group()
"""
_STRAY = """
import os, threading
from desktop.engine.worker import main
threading.Timer(0.3, os.write, (1, b"stray print")).start()
main()
"""


def _started(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=child_environment(), start_new_session=True,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX")
def test_ending_the_group_leaves_no_grandchild() -> None:
    with _started("-c", _GRANDCHILD) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        assert parent.wait(10) != 0
    deadline = time.monotonic() + 3
    while _is_running(grandchild) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_running(grandchild)


def test_the_end_of_its_input_ends_the_worker() -> None:
    with _started("-m", "desktop.engine.worker") as worker:
        time.sleep(0.3)
        assert worker.poll() is None
        assert worker.stdin is not None
        worker.stdin.close()
        assert worker.wait(10) != 0


def test_a_stray_print_reaches_the_log_and_no_frame() -> None:
    with _started("-c", _STRAY) as worker:
        assert worker.stderr is not None
        assert worker.stderr.read(len(b"stray print")) == b"stray print"
        output, _ = worker.communicate(timeout=10)
    assert output == b""


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
