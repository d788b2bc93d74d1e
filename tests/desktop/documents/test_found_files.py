"""Which files a person means, in one order, with a reason for each that is left out."""

import os

import pytest

from converters.errors import Stopped, UserError
from desktop.documents.file_names import path_of
from desktop.documents.found_files import find_files


def _never() -> bool:
    return False


def test_files_and_folders_become_one_sorted_list_without_repeats(tmp_path):
    for name in ("b.pdf", "a.pdf", "sub/c.txt", ".hidden/x.pdf", ".secret.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_files([tmp_path / "b.pdf", tmp_path], _never)
    assert [path_of(file.key).name for file in found.files] == ["a.pdf", "b.pdf", "c.txt"]
    assert found.files[0].size == 1
    assert found.left_out == ()


def test_pipes_broken_links_and_linked_folders_are_left_out_with_a_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe.pdf")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.pdf").symlink_to(tmp_path / "nowhere")
    found = find_files([tmp_path], _never)
    assert found.files == ()
    assert {path_of(left.key).name: left.reason for left in found.left_out} == {
        "gone.pdf": "It cannot be reached: No such file or directory.",
        "loop": "A link to a folder, which is not followed.",
        "pipe.pdf": "It is no regular file.",
    }


def test_names_of_255_bytes_and_foreign_bytes_are_found(tmp_path):
    names = [b"n" * 251 + b".pdf", b"caf\xe9.pdf", "\u202ex\n.pdf".encode()]
    for name in names:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb"):  # noqa: PTH123
            pass
    found = find_files([tmp_path], _never)
    assert {os.path.basename(file.key) for file in found.files} == set(names)  # noqa: PTH119


def test_a_path_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UserError) as caught:
        find_files([tmp_path / "no.pdf"], _never)
    assert caught.value.title == "A file or folder was not found."
    assert "no.pdf" in caught.value.detail


def test_a_walk_can_be_stopped(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"")
    with pytest.raises(Stopped):
        find_files([tmp_path], lambda: True)
