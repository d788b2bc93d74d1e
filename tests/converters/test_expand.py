"""The F32 expansion of a GGUF: the same values, another type, everything else as it was."""

from pathlib import Path

import numpy as np
import pytest

from converters.errors import Stopped
from converters.expand import expand_to_f32
from converters.gguf.header import TensorType
from converters.gguf.reader import GgufFile
from tests.converters.small_models import made_model


@pytest.mark.parametrize("name", ["Q4_K", "Q5_0", "BF16", "F32"])
def test_every_value_is_kept(name: str, tmp_path: Path) -> None:
    source = made_model(tmp_path / "base.gguf", TensorType[name])
    written = expand_to_f32(source, tmp_path / "f32.gguf")
    with GgufFile(source) as base, GgufFile(written.path) as file:
        assert {info.type for info in file.header.tensors} == {TensorType.F32}
        assert file.header.number("general.file_type") == 0
        assert list(file.header.metadata) == list(base.header.metadata)
        for info in base.header.tensors:
            assert np.array_equal(file.values(info.name), base.values(info.name))


def test_a_stop_leaves_nothing(tmp_path: Path) -> None:
    source = made_model(tmp_path / "base.gguf", TensorType.Q8_0)
    with pytest.raises(Stopped):
        expand_to_f32(source, tmp_path / "f32.gguf", lambda: True)
    assert list(tmp_path.iterdir()) == [source]
