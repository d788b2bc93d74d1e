"""Libraries go by the names that people give; folders by ids of ours."""

import pytest

from converters.errors import UserError
from desktop.documents.shelf import LABEL, find_library, libraries_of, place_for


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
