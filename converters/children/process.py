"""Starts and ends a child as an operating-system process. Knows nothing of its frames."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import IO, cast

_ROOT = Path(__file__).parents[2]
_PIPE_BYTES = 2**20
_TAIL_BYTES = 4096
# An allow-list: tokens, proxies and preloads of the person's shell are no business of a child.
_KEPT_NAMES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT",
               "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # fmt: skip
_SET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONUTF8": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # two children on two cores must not spin against each other
}


def child_environment() -> dict[str, str]:
    """The environment of a child: what starting Python needs, offline, and nothing secret."""
    kept = {name: os.environ[name] for name in _KEPT_NAMES if name in os.environ}
    return kept | _SET | {"PYTHONPATH": str(_ROOT)}


@dataclass(frozen=True)
class Ending:
    """How a child ended (`SIGABRT`, `exit code 1`) and the most memory it had, 0 if unknown."""

    how: str
    peak_bytes: int


class ChildProcess:
    """`python -m MODULE` in its own process group, its noise in a log.

    log: where stderr and stray prints are appended; None keeps them in an unnamed file. arguments:
    of the module. requests: a descriptor that becomes its standard input instead of a pipe.
    environment: set beside `child_environment()`.
    """

    def __init__(
        self,
        module: str,
        log: Path | None,
        arguments: Sequence[str] = (),
        *,
        requests: int = subprocess.PIPE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = _opened(log)
        self._log_start = self._log.seek(0, os.SEEK_END)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-X", "faulthandler", "-m", module, *arguments],
            stdin=requests,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            env=child_environment() | dict(environment or {}),
            start_new_session=True,
        )
        self.requests = cast(RawIOBase, self._process.stdin)
        self.replies = cast(RawIOBase, self._process.stdout)
        _widen(self.replies)

    @property
    def pid(self) -> int:
        """The child's process id, which is also its group's."""
        return self._process.pid

    def kill(self) -> None:
        """End the child's whole group at once. Safe to call on a child that is gone."""
        if self._process.poll() is not None:
            return
        if sys.platform == "win32":
            self._process.kill()
        else:
            os.killpg(self._process.pid, signal.SIGKILL)

    def end_group(self) -> None:
        """Kill the group without reaping it, so that `ending` still learns of its memory."""
        if sys.platform != "win32" and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def ended_by(self) -> str:
        """Wait for the end and say how it came: `SIGABRT`, or `exit code 1`."""
        return _described(self._process.wait())

    def ending(self) -> Ending:
        """Wait for the end and describe it; not while another thread waits or kills."""
        peak = 0
        if sys.platform != "win32" and self._process.returncode is None:
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return Ending(_described(self._process.wait()), peak)

    def last_lines(self, count: int = 3) -> list[str]:
        """The last lines that the child wrote to its log."""
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(self._log_start, end - _TAIL_BYTES))
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        return [line.strip() for line in lines if line.strip()][-count:]

    def close(self) -> None:
        """Kill what still runs, reap it, close pipes and log."""
        self.kill()
        self._process.wait()
        for stream in (self.requests, self.replies, self._log):
            if stream is not None:
                stream.close()


def _described(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _opened(log: Path | None) -> IO[bytes]:
    if log is None:
        return tempfile.TemporaryFile()  # noqa: SIM115 - closed by ChildProcess.close
    return log.open("ab+")


def _widen(pipe: RawIOBase) -> None:
    """Fewer wake-ups for large replies, where the system lets a pipe grow."""
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
