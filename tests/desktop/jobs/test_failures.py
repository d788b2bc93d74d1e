"""Recorded last outputs of dead processes, and what the person is told."""

import signal

import pytest

from desktop.jobs.failures import cause_of, interrupted

RECORDED = [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.53 GiB. GPU 0 has a total "
     "capacity of 23.69 GiB of which 812.00 MiB is free.", "The graphics memory ran out."),
    ("RuntimeError: The NVIDIA driver on your system is too old\nCUDA driver version is "
     "insufficient for CUDA runtime version", "The graphics driver is too old for this program."),
    ("torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device",
     "This graphics card is too old for the installed torch."),
    ("RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment",
     "The graphics card stopped answering, as it does after the machine slept."),
    ("torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
     "The graphics card stopped answering."),
    ("NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.",
     "The graphics card stopped answering."),
    ("RuntimeError: [enforce fail at alloc_cpu.cpp:124] data. DefaultCPUAllocator: can't allocate "
     "memory: you tried to allocate 17179869184 bytes. Error code 12 (Cannot allocate memory)",
     "The memory ran out."),
    ("OSError: [Errno 28] No space left on device", "The disk is full."),
    ("OSError: [Errno 30] Read-only file system: 'x'",
     "The folder of the job cannot be written any more."),
    ("Fatal Python error: Illegal instruction\n",
     "The processor does not know an instruction that a library uses."),
    ("Fatal Python error: Bus error\n\nCurrent thread 0x00007f: ",
     "A file that was in use became shorter, or its disk failed."),
    ("terminate called after throwing an instance of 'std::runtime_error'",
     "A native library crashed."),
]


@pytest.mark.parametrize(("output", "title"), RECORDED)
def test_f2_a_recorded_output_is_named_with_a_next_step(output, title):
    cause = cause_of(f"step 3\n{output}\n", 1)
    assert cause.title == title
    assert cause.hint.endswith(".")


@pytest.mark.parametrize(("code", "title"), [
    (-signal.SIGKILL, "Its process was killed."),
    (-signal.SIGSEGV, "A native library crashed."),
    (-signal.SIGBUS, "A file that was in use became shorter, or its disk failed."),
    (None, "Its process ended without a word: it was killed, or the machine was switched off."),
])
def test_a_silent_end_is_read_from_its_signal(code, title):
    assert cause_of("", code).title == title


def test_only_the_output_of_this_run_counts(tmp_path):
    log = tmp_path / "output.log"
    log.write_text("OSError: [Errno 28] No space left on device\n")
    error = interrupted("x", "step 3 of 9 (train)", log, log.stat().st_size, -9)
    assert error.detail.startswith("Its process was killed. (its process ended with code -9)")
    assert error.hint.endswith("`tunedesk jobs resume x` goes on from there.")
