"""Sizes before an export starts, and what is said when the disk is too small."""

import errno
from pathlib import Path

import pytest

from converters.errors import UserError
from converters.gguf.header import TensorType, read_header
from converters.output_room import check_room, estimated_size, free_bytes, writing
from tests.converters.peft_folders import linear_tensors
from tests.converters.small_models import made_model


@pytest.mark.parametrize(
    ("base", "bits_a_weight"), [("Q4_K", 8.5), ("Q8_0", 16), ("F16", 16), ("F32", 32)]
)
def test_auto_is_estimated_by_what_the_policy_usually_takes(
    base: str, bits_a_weight: float, tmp_path: Path
) -> None:
    path = made_model(tmp_path / "base.gguf", TensorType[base])
    header = read_header(path)
    touched = linear_tensors(path)
    weights = sum(header.tensor(name).n_rows * header.tensor(name).row_length for name in touched)
    before = sum(header.tensor(name).n_bytes for name in touched)
    grown = estimated_size(header, "AUTO", touched) - path.stat().st_size
    assert grown == weights * bits_a_weight / 8 - before


def test_untouched_tensors_keep_their_size(tmp_path: Path) -> None:
    path = made_model(tmp_path / "base.gguf", TensorType.Q5_0)
    for kind in ("auto", "same", "F16"):
        assert estimated_size(read_header(path), kind, []) == path.stat().st_size


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    header = read_header(made_model(tmp_path / "base.gguf", TensorType.Q5_0))
    with pytest.raises(UserError, match='no export type "Q5_K_M"'):
        estimated_size(header, "Q5_K_M", [])


def test_free_space_is_that_of_the_folder_above_one_that_is_still_missing(tmp_path: Path) -> None:
    free = free_bytes(tmp_path / "not" / "there" / "out.gguf")
    assert free == pytest.approx(free_bytes(tmp_path / "out.gguf"), rel=0.1)
    check_room(tmp_path / "out.gguf", 1)
    with pytest.raises(UserError, match=f"needs {10**18:,} bytes"):
        check_room(tmp_path / "out.gguf", 10**18)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_kind_of_full_is_the_same_news(code: int, tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="not enough disk space"),
        writing(tmp_path / "out.gguf", 1000),
    ):
        raise OSError(code, "full")


def test_other_faults_of_the_disk_name_the_path(tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    with pytest.raises(UserError) as raised, writing(output, 1000):
        raise OSError(errno.EROFS, "Read-only file system")
    assert f"{output}: Read-only file system." in str(raised.value)
