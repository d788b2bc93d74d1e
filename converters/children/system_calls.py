"""Takes from this process every system call that it does not need, by a seccomp filter on Linux.

A parser that is taken over by its input can then neither open a file or a socket nor start a
program: such calls fail with EPERM. Elsewhere nothing is taken; the caller learns that.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

_SET_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16

# Reading and writing what is open already, memory, time, and ending. By machine: its audit number
# (linux/audit.h) and the numbers of the calls (asm/unistd.h).
_MACHINES = {
    "x86_64": (0xC000003E, {
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9,
        "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
        "rt_sigreturn": 15, "pread64": 17, "readv": 19, "writev": 20, "sched_yield": 24,
        "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "recvfrom": 45,
        "recvmsg": 47, "exit": 60, "uname": 63, "fcntl": 72, "gettimeofday": 96, "getrusage": 98,
        "times": 100, "sigaltstack": 131, "gettid": 186, "futex": 202, "sched_getaffinity": 204,
        "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
        "exit_group": 231, "tgkill": 234, "newfstatat": 262, "ppoll": 271, "set_robust_list": 273,
        "getrandom": 318, "membarrier": 324, "rseq": 334,
    }),
    "aarch64": (0xC00000B7, {
        "fcntl": 25, "close": 57, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66,
        "pread64": 67, "ppoll": 73, "newfstatat": 79, "fstat": 80, "exit": 93, "exit_group": 94,
        "futex": 98, "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113,
        "clock_getres": 114, "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124,
        "restart_syscall": 128, "tgkill": 131, "sigaltstack": 132, "rt_sigaction": 134,
        "rt_sigprocmask": 135, "rt_sigreturn": 139, "times": 153, "uname": 160, "getrusage": 165,
        "gettimeofday": 169, "getpid": 172, "gettid": 178, "recvfrom": 207, "recvmsg": 212,
        "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233,
        "getrandom": 278, "membarrier": 283, "rseq": 293,
    }),
}  # fmt: skip


def give_up_system_calls() -> bool:
    """Keep only the calls above, for good; whether that was possible here.

    Everything this process will import or open must be loaded before.
    """
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        return False
    library = ctypes.CDLL(None, use_errno=True)
    program = _program(*machine)
    buffer = ctypes.create_string_buffer(program, len(program))
    filtered = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    if library.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return library.prctl(_SET_SECCOMP, _FILTER, filtered, 0, 0) == 0


def _program(machine: int, calls: dict[str, int]) -> bytes:
    """The filter: on this machine, these calls; a signal only to this process itself."""
    plain = [number for name, number in calls.items() if name != "tgkill"]
    steps = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_EQUALS, 0, len(plain) + 4, machine),  # another machine's calls: refuse
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    for left, number in zip(range(len(plain), 0, -1), plain, strict=True):
        steps.append((_EQUALS, left + 3, 0, number))
    steps += [
        (_EQUALS, 0, 2, calls["tgkill"]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_EQUALS, 1, 0, os.getpid()),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
