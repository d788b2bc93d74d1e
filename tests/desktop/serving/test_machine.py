"""What a person is told about the own machine."""

import pytest

from desktop.core.hardware import CardProbe, GraphicsCard
from desktop.core.paths import resolve_home
from desktop.ollama_api.daemon import OllamaStatus
from desktop.serving.machine import PACKAGES, advice_for, look_at_machine

HERE = OllamaStatus(True, "0.34.4", "http://127.0.0.1:11434", "/store", True, True)
CARD = CardProbe((GraphicsCard("RTX 4070", 12 << 30, 10 << 30),))
ROOM = 100_000_000_000


def test_a_complete_machine_needs_no_advice():
    assert advice_for(HERE, CARD, ROOM, dict.fromkeys(PACKAGES, "1.0")) == ()


@pytest.mark.parametrize(("probe", "free", "packages", "said"), [
    (CardProbe((), "The graphics card stopped answering: restart the computer."), ROOM, {},
     "The graphics card stopped answering: restart the computer. Tuning runs on the processor"),
    (CARD, 4_200_000_000, {}, "Only 4.2 GB of disk are free"),
    (CARD, ROOM, {"torch": None, "peft": None}, "Tuning needs torch, peft: install"),
])
def test_each_thing_that_is_missing_has_its_sentence(probe, free, packages, said):
    (advice,) = advice_for(HERE, probe, free, packages)
    assert advice.startswith(said)


def test_without_ollama_all_is_said_and_nothing_raised(tmp_path, run_async):
    machine = run_async(look_at_machine(resolve_home(tmp_path), "http://127.0.0.1:9"))
    assert not machine.ollama.running
    assert machine.free_disk_bytes > 0
    assert machine.packages["httpx"]
    assert "Ollama is not running." in machine.advice[0]
    assert any("the built-in engine is used" in sentence for sentence in machine.advice)
