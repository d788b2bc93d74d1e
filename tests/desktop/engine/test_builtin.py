"""The store of the built-in engine: names are labels, folders are ours, nothing is half there."""

import json
import shutil
from pathlib import Path

import pytest

from converters.errors import UserError
from desktop.engine.builtin import BuiltinStore, Card

_CARD = Card(stops=("</s>",), parameters={"temperature": 0}, base="ab" * 32)


@pytest.fixture
def store(tmp_path: Path) -> BuiltinStore:
    return BuiltinStore(tmp_path / "models")


def test_an_absent_store_is_empty(store: BuiltinStore) -> None:
    assert store.models() == ()
    assert store.damaged() == ()
    with pytest.raises(UserError) as caught:
        store.find("tickets")
    assert caught.value.title == "There is no model 'tickets'"
    assert "holds: none" in caught.value.detail


def test_a_model_is_linked_in_and_found_by_its_label(
    store: BuiltinStore, smollm2: Path, tmp_path: Path
) -> None:
    source = tmp_path / "out.gguf"
    shutil.copyfile(smollm2, source)  # the cache may lie on another file system
    added = store.add(source, "tickets", _CARD)
    assert store.find("Tickets:latest") == added
    assert added.card == _CARD
    assert added.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert added.gguf.samefile(source)
    assert added.n_bytes == source.stat().st_size
    assert source.exists()


def test_a_file_on_another_file_system_is_copied(
    store: BuiltinStore, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    added = store.add(smollm2, "tickets")
    assert not added.gguf.samefile(smollm2)
    assert added.gguf.stat().st_size == smollm2.stat().st_size


def test_a_full_disk_is_named_before_the_copy(
    store: BuiltinStore, smollm2: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: _Usage)
    with pytest.raises(UserError) as caught:
        store.add(smollm2, "tickets")
    assert f"needs {smollm2.stat().st_size:,} bytes, 1,000 are free" in caught.value.detail
    assert list((tmp_path / "models").iterdir()) == []


class _Usage:
    free = 1000


def test_a_taken_name_is_refused_and_kept(store: BuiltinStore, smollm2: Path) -> None:
    first = store.add(smollm2, "tickets")
    with pytest.raises(UserError) as caught:
        store.add(smollm2, "tickets:latest")
    assert "--replace" in caught.value.hint
    assert store.find("tickets") == first
    second = store.add(smollm2, "tickets:latest", replace=True)
    assert [model.gguf for model in store.models()] == [second.gguf]
    assert not first.gguf.exists()


def test_an_unproven_model_leaves_the_proven_one_alone_until_promoted(
    store: BuiltinStore, smollm2: Path
) -> None:
    proven = store.add(smollm2, "tickets")
    unproven = store.add(smollm2, "tickets:unproven", _CARD)
    assert [model.name for model in store.models()] == ["tickets", "tickets:unproven"]
    assert store.find("tickets") == proven
    promoted = store.promote("tickets")
    assert [model.name for model in store.models()] == ["tickets"]
    assert promoted.gguf == unproven.gguf
    assert promoted.card == _CARD
    assert not proven.gguf.exists()
    with pytest.raises(UserError):
        store.promote("tickets")


@pytest.mark.parametrize("name", ["a:unproven-unproven", "a:b-unproven-unproven", ":unproven"])
def test_only_the_unproven_form_of_a_good_name_is_taken(
    store: BuiltinStore, smollm2: Path, name: str
) -> None:
    assert store.add(smollm2, "tickets:v2-unproven").name == "tickets:v2-unproven"
    with pytest.raises(UserError):
        store.add(smollm2, name)


def test_a_removed_model_leaves_nothing(
    store: BuiltinStore, smollm2: Path, tmp_path: Path
) -> None:
    store.add(smollm2, "tickets")
    store.remove("tickets")
    assert store.models() == ()
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["", "../../etc/passwd", "a/../../b", "a\nb", "..", "x" * 300, "con", "\u202eevil", "a\0b",
     "C:\\x", "größe"],
)  # fmt: skip
def test_hostile_names_touch_no_path(
    store: BuiltinStore, smollm2: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UserError):
        store.add(smollm2, name)
    assert list(tmp_path.iterdir()) == []


def test_folders_are_named_by_us(store: BuiltinStore, smollm2: Path) -> None:
    folder = store.add(smollm2, "team/Tickets:v2").gguf.parent
    assert len(folder.name) == 16
    assert int(folder.name, 16) >= 0


def test_a_damaged_gguf_does_not_get_in(store: BuiltinStore, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"nothing")
    with pytest.raises(UserError):
        store.add(broken, "tickets")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "model.json").write_text("{"), "model.json: Invalid JSON"),
        (lambda folder: _edit(folder, later="field"), "model.json: later Extra inputs"),
        (lambda folder: _edit(folder, version=2), "model.json: version Input should be 1"),
        (lambda folder: _edit(folder, name="a/b/c/d/e"), "cannot be the name of a model"),
        (lambda folder: (folder / "model.gguf").unlink(), "model.gguf: No such file"),
        (lambda folder: _edit(folder, n_bytes=5), "bytes instead of 5"),
    ],
)
def test_a_damaged_model_is_shown_and_hides_no_other(
    store: BuiltinStore, smollm2: Path, damage, reason: str
) -> None:
    good, bad = store.add(smollm2, "good"), store.add(smollm2, "bad")
    damage(bad.gguf.parent)
    assert store.models() == (good,)
    [found] = store.damaged()
    assert reason in found.reason
    assert found.folder == bad.gguf.parent


def test_of_two_with_one_name_the_newer_counts(store: BuiltinStore, smollm2: Path) -> None:
    store.add(smollm2, "one")
    newer = store.add(smollm2, "two")
    _edit(newer.gguf.parent, name="one")  # as after a crash between promoting and removing
    assert [model.gguf for model in store.models()] == [newer.gguf]


def _edit(folder: Path, **fields: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
