"""Memory and disk on this machine against what a run needs."""

from pathlib import Path

import pytest

from converters.errors import UserError
from desktop.core import hardware
from desktop.jobs.room import DiskPlace, disk_places, memory_room, require_disk
from desktop.serving.protocol import ImportRoom, Resident
from finetune.plan_memory import Term

GB = 1_000_000_000
CARD = hardware.GraphicsCard("NVIDIA GeForce RTX 4070", 12 * GB, 5 * GB, "580.95.05")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "probe_cards", lambda: hardware.CardProbe((CARD,)))


@pytest.mark.usefixtures("card")
def test_what_ollama_holds_of_the_base_counts_as_free_and_others_do_not() -> None:
    residents = [
        Resident("llama3:8b", 6 * GB, 5 * GB), Resident("small:latest", GB, GB),
        Resident("on-the-processor:latest", GB, 0),
    ]  # fmt: skip
    room = memory_room(residents, "llama3:8b")
    assert (room.kind, room.compute.device) == ("graphics memory", "cuda")
    assert (room.available_bytes, room.unloaded) == (10 * GB, 5 * GB)
    assert [model.name for model in room.others] == ["small:latest"]
    assert memory_room(residents, "small").unloaded == GB


def test_without_a_card_the_reason_is_told_and_main_memory_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probe = hardware.CardProbe((), "No card.")
    monkeypatch.setattr(hardware, "probe_cards", lambda: probe)
    monkeypatch.setattr(hardware, "memory", lambda: hardware.Memory(8 * GB, 3 * GB))
    room = memory_room([Resident("a:latest", 4 * GB, GB)], "a")
    assert (room.kind, room.why_no_card, room.available_bytes) == ("memory", "No card.", 6 * GB)
    assert room.compute.value_bytes == (2 if hardware.has_fast_bf16() else 4)


@pytest.mark.parametrize(("copies", "terms"), [(0, 1), (1, 2), (3, 2)])
def test_the_servers_copy_counts_on_its_own_file_system_or_on_ours(
    tmp_path: Path, copies: int, terms: int
) -> None:
    home, store = tmp_path / "home", tmp_path / "store"
    own = (Term("checkpoints", 5),)
    (place,) = disk_places(home, own, 100, ImportRoom(store, copies, "why"))
    assert len(place.terms) == terms
    assert sum(term.bytes for term in place.terms) == 5 + copies * 100
    elsewhere = disk_places(home, own, 100, ImportRoom(Path("/proc"), copies, "why"))
    assert len(elsewhere) == terms  # another file system is a place of its own
    assert len(disk_places(home, own, 100, ImportRoom(None, copies, "why"))) == 1


def test_f06_each_full_disk_is_named_with_needed_and_free(tmp_path: Path) -> None:
    full = DiskPlace(tmp_path, 100_000_000, (Term("checkpoints", 2 * GB),))
    fine = DiskPlace(Path("/elsewhere"), 3 * GB, (Term("the model", GB),))
    require_disk([fine])
    with pytest.raises(UserError) as caught:
        require_disk([full, fine])
    assert caught.value.detail == (
        f"2.20 GB are needed in {tmp_path}, 100 MB are free (checkpoints 2.00 GB). Nothing was "
        "started."
    )
