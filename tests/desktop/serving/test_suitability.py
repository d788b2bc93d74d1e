"""What is said of a model before anyone tunes it."""

from dataclasses import replace
from pathlib import Path

import pytest

from converters.gguf.header import read_header
from desktop.jobs.room import memory_room
from desktop.serving.protocol import HeldModel
from desktop.serving.suitability import ROW_TOKENS, suitability
from finetune.plan import default_memory_bytes

ROOM = memory_room([], "")


def _held(path: Path | None, reason: str = "") -> HeldModel:
    return HeldModel(
        name="m", digest="0" * 64, family="llama", parameters="135M", quantization="Q4_1",
        n_bytes=1, path=path, reason=reason,
    )  # fmt: skip


def test_a_model_that_can_be_tuned_tells_what_it_needs(smollm2: Path) -> None:
    needed = default_memory_bytes(read_header(smollm2), ROW_TOKENS, ROOM.compute)
    roomy = suitability(_held(smollm2), replace(ROOM, available_bytes=needed))
    assert (roomy.fits, roomy.needed_bytes) == (True, needed)
    assert roomy.in_words == f"can be tuned, fits ({needed / 1e9:.1f} GB)"
    tight = suitability(_held(smollm2), replace(ROOM, available_bytes=needed - 1))
    assert tight.fits is False
    assert tight.in_words == f"can be tuned, needs {needed / 1e9:.1f} GB"


def test_a_model_that_lies_elsewhere_tells_why() -> None:
    found = suitability(_held(None, "its file is on another machine"), ROOM)
    assert (found.fits, found.needed_bytes) == (None, None)
    assert found.in_words == "cannot be tuned: its file is on another machine"


@pytest.mark.parametrize("data", [b"", b"GGUF", b"no model at all" * 9])
def test_a_file_that_is_no_model_says_so(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(data)
    found = suitability(_held(file), ROOM)
    assert found.needed_bytes is None
    assert "broken.gguf" in found.reason
