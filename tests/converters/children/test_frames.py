"""Frames over real pipes, whole and cut."""

import os
import threading
from io import BytesIO, FileIO, RawIOBase
from typing import cast

import numpy as np
import pytest

from converters.children.frames import FrameBroken, array_frame, array_of, read_frame, write_frame


def _sent(data: bytes) -> RawIOBase:
    return cast(RawIOBase, BytesIO(data))


def test_an_array_larger_than_the_pipe_comes_through() -> None:
    source, sink = os.pipe()
    array = np.arange(500_000, dtype=np.float32).reshape(5, 100_000)
    with FileIO(source, "r") as reader, FileIO(sink, "w") as writer:
        thread = threading.Thread(
            target=write_frame, args=(writer, *array_frame({"id": 7}, array))
        )
        thread.start()
        received = read_frame(reader)
        thread.join()
    assert received is not None
    assert received[0]["id"] == 7
    np.testing.assert_array_equal(array_of(*received), array)


def test_texts_survive_even_broken_ones() -> None:
    sent = BytesIO()
    write_frame(cast(RawIOBase, sent), {"text": "naïve \ud800 \x00"})
    received = read_frame(_sent(sent.getvalue()))
    assert received is not None
    assert received[0]["text"] == "naïve \ud800 \x00"


def test_the_end_of_the_stream_is_none_and_a_cut_frame_an_error() -> None:
    sent = BytesIO()
    write_frame(cast(RawIOBase, sent), {"op": "x"}, b"1234")
    whole = sent.getvalue()
    assert read_frame(_sent(b"")) is None
    for length in range(1, len(whole)):
        with pytest.raises(FrameBroken):
            read_frame(_sent(whole[:length]))


def test_a_frame_of_absurd_size_is_refused_before_it_is_read() -> None:
    with pytest.raises(FrameBroken):
        read_frame(_sent(b"\xff" * 12))
