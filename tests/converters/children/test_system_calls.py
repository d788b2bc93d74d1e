"""What a child that was taken over could still try: every way out is shut."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from converters.children.process import child_environment

_ATTEMPTS = """
import ctypes, os, resource, signal, socket, sys, threading
from pathlib import Path
from converters.children.confinement import limit_for_good
from converters.children.system_calls import give_up_system_calls

target, secret, parent = Path(sys.argv[1]), Path(sys.argv[2]), os.getppid()
pair = socket.socketpair()
library = ctypes.CDLL(None, use_errno=True)
limit_for_good(2**30, 100)
assert give_up_system_calls()

def native(name, *arguments):
    if getattr(library, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

attempts = {
    "tcp socket": lambda: socket.socket(socket.AF_INET),
    "udp socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "unix socket": lambda: socket.socket(socket.AF_UNIX),
    "connect": lambda: pair[0].connect("/run/x"),
    "sendto": lambda: pair[0].sendto(b"x", "/run/x"),
    "read a file": secret.read_text,
    "list a folder": lambda: os.listdir(secret.parent),
    "write a file": lambda: (target / "new").write_text("x"),
    "append": lambda: open(secret, "a"),
    "remove": secret.unlink,
    "rename": lambda: secret.rename(target / "moved"),
    "make a folder": lambda: (target / "folder").mkdir(),
    "link": lambda: os.link(secret, target / "link"),
    "symlink": lambda: os.symlink(secret, target / "link"),
    "change rights": lambda: secret.chmod(0o777),
    "truncate": lambda: os.truncate(secret, 0),
    "fork": os.fork,
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "thread": lambda: threading.Thread(target=print).start(),
    "kill the parent": lambda: os.kill(parent, signal.SIGKILL),
    "signal by thread": lambda: native("syscall", 234, parent, parent, 9),
    "trace": lambda: native("ptrace", 16, parent, 0, 0),
    "unshare": lambda: native("unshare", 0x10000000),
    "more memory": lambda: resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40)),
    "four gigabytes": lambda: bytearray(4 * 2**30),
    "change folder": lambda: os.chdir("/"),
    "memory file": lambda: os.memfd_create("x"),
    "change user": lambda: native("setuid", 0),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except (OSError, ValueError, MemoryError, RuntimeError):
        continue
    os.write(1, (name + "\\n").encode())
os.write(1, b"done\\n")
os._exit(0)
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the filter is made for Linux on x86_64 and aarch64",
)


def test_s4_every_escape_is_denied(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("untouched")
    target = tmp_path / "target"
    target.mkdir()
    tried = subprocess.run(
        [sys.executable, "-P", "-c", _ATTEMPTS, str(target), str(secret)],
        env=child_environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (tried.stdout, tried.stderr, tried.returncode) == ("done\n", "", 0)
    assert secret.read_text() == "untouched"
    assert list(target.iterdir()) == []


def test_an_aborted_process_still_ends_by_its_signal() -> None:
    code = (
        "import os; from converters.children.system_calls import give_up_system_calls as g; "
        "assert g(); os.abort()"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code], env=child_environment(), check=False, timeout=60
    )
    assert ended.returncode == -6
