"""Files that are whole or not there, and what is done about the rest of a killed writer."""

import os
from pathlib import Path

import pytest

from converters.durable_files import publish_folder, remove_staged, staged_file, write_json


def test_a_file_appears_when_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    with staged_file(path) as file:
        file.write(b"content")
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["file"]  # noqa: PTH208 - hidden ones too


def test_an_error_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    write_json(tmp_path / "file", {"old": True})
    with pytest.raises(RuntimeError, match="half way"):
        _fail_half_way(tmp_path / "file")
    assert (tmp_path / "file").read_text(encoding="utf-8") == '{\n "old": true\n}\n'
    assert len(list(tmp_path.iterdir())) == 1


def _fail_half_way(path: Path, *, in_its_place: bool = False) -> None:
    with staged_file(path) as file:
        file.write(b"half")
        if in_its_place:
            (path.parent / "file.partial").unlink()
            (path.parent / "file.partial").mkdir()
        raise RuntimeError("half way")


def test_the_first_error_is_the_one_that_is_told(tmp_path: Path) -> None:
    """The staged file cannot be removed either: something else stands in its place."""
    with pytest.raises(RuntimeError, match="half way"):
        _fail_half_way(tmp_path / "file", in_its_place=True)


def test_what_killed_writers_left_is_removed_and_named(tmp_path: Path) -> None:
    kept = tmp_path / "artefacts" / "model.gguf"
    write_json(kept, "kept")
    left = tmp_path / "artefacts" / "model.gguf.partial"
    left.write_bytes(b"half")
    folder = tmp_path / "adapter.partial"
    write_json(folder / "inside.partial" / "file", "half")
    assert remove_staged(tmp_path) == [folder, left]
    assert [path for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [kept]
    assert remove_staged(tmp_path) == []


def test_a_link_to_elsewhere_is_removed_but_not_followed(tmp_path: Path) -> None:
    elsewhere, job = tmp_path / "elsewhere", tmp_path / "job"
    write_json(elsewhere / "own.partial", "of somebody else")
    job.mkdir()
    (job / "link").symlink_to(elsewhere)
    (job / "link.partial").symlink_to(elsewhere)
    assert remove_staged(job) == [job / "link.partial"]
    assert (elsewhere / "own.partial").exists()


def test_a_folder_is_published_as_a_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "staged" / "deep" / "file", 1)
    publish_folder(tmp_path / "staged", tmp_path / "final")
    assert (tmp_path / "final" / "deep" / "file").read_text() == "1\n"
    assert not (tmp_path / "staged").exists()
