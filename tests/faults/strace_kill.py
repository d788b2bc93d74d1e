"""Kills a child at every call by which it changes a folder, one fresh run a call (FAULTS R1).

strace records one undisturbed run; then, for the k-th call, a new run gets SIGKILL on entering it,
so that the call itself is not made. A call is found again by its kind and its number in the
process, so the child must do the same each time: one writing thread, nothing random. (Not with
--seccomp-bpf, which is faster but loses the signals: strace 6.1.)
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
HANG_S = 30
_CALLS = (
    "write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,"
    "mkdir,mkdirat,rmdir,ftruncate,truncate,link,linkat,symlink,symlinkat,copy_file_range,"
    "sendfile,fallocate,openat"
)
_LINE = re.compile(r"(?P<thread>\d+) +(?P<kind>\w+)\(")

Prepare = Callable[[Path], None]
Command = Callable[[Path], Sequence[str]]


@dataclass(frozen=True)
class Call:
    """The `number`-th call of its kind in the child; `text` is strace's line without the folder."""

    kind: str
    number: int
    text: str

    @property
    def is_fsync(self) -> bool:
        """Whether it makes something durable."""
        return self.kind in ("fsync", "fdatasync")


@dataclass(frozen=True)
class Killed:
    """A folder as a child left it that was killed on entering `call`."""

    folder: Path
    call: Call


def child(*arguments: str) -> list[str]:
    """The command of one of the children in `tests.faults.children`."""
    return [sys.executable, "-B", "-P", "-m", "tests.faults.children", *arguments]


def run_child(command: Sequence[str]) -> None:
    """Run a child undisturbed; it must succeed."""
    subprocess.run(command, env=_environment(), check=True)


def changing_calls(command: Sequence[str], folder: Path) -> list[Call]:
    """Run the child undisturbed under strace; its calls that change something in `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch, "strace.log")
        run = subprocess.run(_strace(log, [], command), env=_environment(), check=False)
        assert run.returncode == 0, f"the undisturbed child failed:\n{log.read_text()[-2000:]}"
        calls = _parsed(log, folder)
    assert calls, f"the child changed nothing in {folder}"
    return calls


def run_killed_at(call: Call, command: Sequence[str], folder: Path) -> Killed:
    """Run the child and kill it on entering `call`; fails if it was not killed right there."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch, "strace.log")
        inject = ["-e", f"inject={call.kind}:signal=SIGKILL:when={call.number}"]
        run = subprocess.run(_strace(log, inject, command), env=_environment(), check=False)
        last = _parsed(log, folder)[-1]
    assert run.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), f"not killed at {call}"
    assert (last.kind, last.number) == (call.kind, call.number), f"killed at {last}, not at {call}"
    return Killed(folder, call)


def run_paused_at(
    call: Call, command: Sequence[str], meanwhile: Callable[[], None]
) -> subprocess.CompletedProcess[str]:
    """Run the child, stop it right after `call`, do something, let it go on to its end."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch, "strace.log")
        inject = ["-e", f"inject={call.kind}:signal=SIGSTOP:when={call.number}"]
        with subprocess.Popen(
            _strace(log, inject, command), env=_environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            pid = _stopped_child(log)
            meanwhile()
            os.kill(pid, signal.SIGCONT)
            said, complaint = process.communicate(timeout=HANG_S)
    return subprocess.CompletedProcess(command, process.returncode, said, complaint)


def killed_everywhere(prepare: Prepare, command: Command, scratch: Path) -> Iterator[Killed]:
    """Kill one child at each of its changing calls, each in a folder of its own.

    `prepare` fills an empty folder, `command` names the child for it.
    """
    first = _prepared(scratch / "undisturbed", prepare)
    calls = changing_calls(command(first), first)

    def run(number: int) -> Killed:
        folder = _prepared(scratch / f"killed-{number:03}", prepare)
        return run_killed_at(calls[number], command(folder), folder)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(run, range(len(calls)))


def _stopped_child(log: Path) -> int:
    """Wait until strace reports that the child stopped; the child's process id."""
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        lines = log.read_text().splitlines() if log.exists() else []
        stopped = next((line for line in lines if "--- stopped by SIGSTOP ---" in line), "")
        if stopped:
            return int(stopped.split()[0])
        time.sleep(0.005)
    raise TimeoutError(f"the child did not stop: {log.read_text()[-1000:]}")


def _prepared(folder: Path, prepare: Prepare) -> Path:
    folder.mkdir()
    prepare(folder)
    return folder


def _strace(log: Path, inject: list[str], command: Sequence[str]) -> list[str]:
    return ["strace", "-f", "-y", "-qq", "-s", "0", "-o", str(log),
            "-e", f"trace={_CALLS}", *inject, *command]  # fmt: skip


def _environment() -> dict[str, str]:
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    return os.environ | single | {"PYTHONPATH": str(ROOT)}


def _parsed(log: Path, folder: Path) -> list[Call]:
    """The calls in strace's log that change `folder`; strace counts each kind in each thread."""
    counts: dict[tuple[str, str], int] = {}
    calls, threads = [], set[str]()
    for line in log.read_text().splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        key = (match["thread"], match["kind"])
        counts[key] = counts.get(key, 0) + 1
        if str(folder) in line and (match["kind"] != "openat" or "O_CREAT" in line):
            text = line[match.start("kind") :].replace(str(folder), "")
            calls.append(Call(match["kind"], counts[key], text))
            threads.add(match["thread"])
    assert len(threads) <= 1, f"several threads write into {folder}: a call cannot be found again"
    return calls
