"""The peak of this process alone."""

import subprocess
import sys

from converters.peak_memory import peak_rss_bytes

_SCRIPT = "from converters.peak_memory import peak_rss_bytes; print(peak_rss_bytes())"


def test_the_peak_grows_with_what_was_held_and_stays() -> None:
    before = peak_rss_bytes()
    held = bytearray(before + 50_000_000)
    held[::4096] = b"x" * len(held[::4096])
    during = peak_rss_bytes()
    del held
    assert during >= before + 50_000_000
    assert peak_rss_bytes() >= during * 0.99


def test_a_child_does_not_inherit_the_peak_of_its_parent() -> None:
    held = bytearray(300_000_000)
    held[::4096] = b"x" * len(held[::4096])
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True
    )
    assert 5_000_000 < int(run.stdout) < 200_000_000
    assert len(held) == 300_000_000
