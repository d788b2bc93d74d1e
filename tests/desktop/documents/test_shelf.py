"""Libraries go by the names that people give; folders by ids of ours."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from converters.errors import UserError
from desktop.core.records import write_record
from desktop.documents.shelf import LABEL, Label, Place, find_library, libraries_of, place_for


def test_names_that_look_alike_get_folders_of_their_own(tmp_path):
    names = ["Büro", "Buro", "../evil", "CON", "日本"]
    folders = [place_for(tmp_path, name).folder for name in names]
    assert [folder.name for folder in folders] == ["buro", "buro-2", "evil", "con", "job"]
    assert place_for(tmp_path, "Buro").folder == folders[1]
    assert sorted(place.name for place in libraries_of(tmp_path)) == sorted(names)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\u202ex", "n" * 201])
def test_a_name_that_cannot_be_shown_is_refused(tmp_path, name):
    with pytest.raises(UserError) as caught:
        place_for(tmp_path, name)
    assert caught.value.title == "This cannot be the name of a library."
    assert list(tmp_path.iterdir()) == []


def test_the_only_library_needs_no_name(tmp_path):
    with pytest.raises(UserError) as caught:
        find_library(tmp_path)
    assert caught.value.title == "There is no library yet."
    place_for(tmp_path, "papers")
    assert find_library(tmp_path).name == "papers"
    with pytest.raises(UserError) as caught:
        find_library(tmp_path, "books")
    assert caught.value.detail == 'There are "papers".'
    place_for(tmp_path, "books")
    with pytest.raises(UserError) as caught:
        find_library(tmp_path)
    assert caught.value.detail == 'They are "books", "papers".'


def test_a_library_without_a_readable_label_goes_by_its_folder(tmp_path):
    place = place_for(tmp_path, "My papers")
    (place.folder / LABEL).write_bytes(b"{")
    assert find_library(tmp_path, "my-papers").folder == place.folder


def test_programs_that_start_at_once_make_one_library_of_a_name(tmp_path):
    at_once = Barrier(4)

    def make(number: int) -> Place:
        at_once.wait()
        return place_for(tmp_path, f"papers {number}")

    with ThreadPoolExecutor(4) as threads:
        for number in range(50):
            assert len(set(threads.map(make, [number] * 4))) == 1
    assert len(libraries_of(tmp_path)) == 50


def test_twins_are_told_and_each_is_reached_by_its_folder(tmp_path):
    first = place_for(tmp_path, "two").folder
    second = place_for(tmp_path, "other").folder
    write_record(second / LABEL, Label(name="two"))
    for look in (find_library, place_for):
        with pytest.raises(UserError) as caught:
            look(tmp_path, "two")
        assert caught.value.title == 'There are 2 libraries "two".'
        assert caught.value.detail == f"They are in {second}, {first}."
        assert caught.value.hint == f'Name one by its folder: --library "{second}".'
        assert look(tmp_path, str(first)).folder == first
        assert look(tmp_path, "other").folder == second


def test_a_folder_name_is_no_name_of_a_library_that_has_no_twin(tmp_path):
    shouted = place_for(tmp_path, "CON")
    assert place_for(tmp_path, "con").folder != shouted.folder


def test_a_removal_that_was_cut_off_leaves_no_library(tmp_path):
    place = place_for(tmp_path, "papers")
    place.folder.rename(tmp_path / ".deleted-papers")
    assert libraries_of(tmp_path) == []
