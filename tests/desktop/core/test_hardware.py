"""What the driver says becomes cards, and what it cannot say becomes a reason in words."""

import os
from pathlib import Path

import pytest

from desktop.core.hardware import (
    CardProbe,
    GraphicsCard,
    has_fast_bf16,
    memory,
    parse_cards,
    probe_cards,
    read_probe,
)
from finetune import base_model

RTX_4070 = "NVIDIA GeForce RTX 4070, 12282, 10033, 580.95.05\n"
# As nvidia-smi words them in public reports, with its exit codes; no such machine was at hand.
OLD_DRIVER = "NVIDIA GeForce GTX 1080, 8192, 7800, 470.239.06\n"
NO_COMMUNICATION = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that "
    "the latest NVIDIA driver is installed and running.\n\n"
)
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\n"
LOST = (
    "Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.  Reboot the system "
    "to recover this GPU\n"
)


def test_recorded_driver_output() -> None:
    text = f"{RTX_4070}NVIDIA, Odd Name, 24564, 24000, 590.44.01\n"
    assert parse_cards(text) == [
        GraphicsCard("NVIDIA GeForce RTX 4070", 12282 * 2**20, 10033 * 2**20, "580.95.05"),
        GraphicsCard("NVIDIA, Odd Name", 24564 * 2**20, 24000 * 2**20, "590.44.01"),
    ]


def test_a_card_without_numbers_and_noise_are_left_out() -> None:
    assert parse_cards("NVIDIA GB10, [N/A], [N/A], 580.95.05\nNo devices were found\n\n") == []


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (0, OLD_DRIVER, "The driver of the NVIDIA GeForce GTX 1080 is too old for training "
                        "(470.239.06; 580.65 or later is needed): update the NVIDIA driver."),
        (9, NO_COMMUNICATION, "The NVIDIA driver is not running: install or update it, then "
                              "restart the computer."),
        (18, MISMATCH, "The NVIDIA driver was updated while it ran: restart the computer."),
        (15, LOST, "The graphics card stopped answering: restart the computer."),
        (6, "No devices were found\n",
         "The NVIDIA driver is there, but it finds no graphics card."),
        (0, "NVIDIA GB10, [N/A], [N/A], 580.95.05\n",
         "The NVIDIA driver lists no usable graphics card."),
    ],
)  # fmt: skip
def test_f31_a_machine_without_a_usable_card_says_why(code: int, text: str, reason: str) -> None:
    assert read_probe(code, text) == CardProbe((), reason)


def test_an_old_card_beside_a_new_one_is_not_used() -> None:
    (card,) = read_probe(0, OLD_DRIVER + RTX_4070).cards
    assert card.name == "NVIDIA GeForce RTX 4070"


def test_the_driver_is_asked_by_its_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe_cards().reason == (
        "No NVIDIA graphics card was found (there is no NVIDIA driver)."
    )
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{RTX_4070}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    assert [card.driver for card in probe_cards().cards] == ["580.95.05"]


def test_memory_of_this_machine() -> None:
    found = memory()
    assert 0 < found.available_bytes <= found.total_bytes


def test_the_processor_is_judged_as_torch_judges_it() -> None:
    assert has_fast_bf16() == base_model.has_fast_bf16()
