"""What the driver says becomes cards; what it cannot say is left out."""

from desktop.core.hardware import GraphicsCard, memory, parse_cards


def test_recorded_driver_output():
    text = "NVIDIA GeForce RTX 4070, 12282, 10033\nNVIDIA, Odd Name, 24564, 24000\n"
    assert parse_cards(text) == [
        GraphicsCard("NVIDIA GeForce RTX 4070", 12282 * 2**20, 10033 * 2**20),
        GraphicsCard("NVIDIA, Odd Name", 24564 * 2**20, 24000 * 2**20),
    ]


def test_a_card_without_numbers_and_noise_are_left_out():
    assert parse_cards("NVIDIA GB10, [N/A], [N/A]\nNo devices were found\n\n") == []


def test_memory_of_this_machine():
    found = memory()
    assert 0 < found.available_bytes <= found.total_bytes
