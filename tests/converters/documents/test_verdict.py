"""Text or no text, from code points alone."""

import numpy as np
import pytest

from converters.documents.verdict import is_garbled, sample_of, verdict_of


def ink(text: str) -> np.ndarray:
    return np.array([ord(c) for c in text if not c.isspace()], np.uint32)


@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox jumps over the lazy dog and then goes home again. " * 3,
        "Der schnelle braune Fuchs sprang über den faulen Hund. " * 3,
        "12,345 67,890 (1,234) $ 5.6 % 2019 2018 2017 " * 9,
        "年度報告書をここに掲載します。" * 20,
        "هذا نص عربي للاختبار " * 20,
        "Съешь же ещё этих мягких французских булок " * 9,
        "ok",
    ],
)
def test_text_of_many_kinds_is_text(text: str) -> None:
    assert verdict_of(ink(text), 0.0, 0.0) == "text"


@pytest.mark.parametrize(
    "text",
    [
        "\ufffd" * 30 + "some words that can be read here",
        "\ue000\ue001\uf0b7\uf123" * 20 + "and a few words",
        "\x01\x02\x03\x04\x05 abc",
        "wkh txlfn eurzq ira mxpsv ryhu wkh odcb grj dqg wkhq jrhv krph djdlq. " * 3,
    ],
)
def test_soup_is_garbled(text: str) -> None:
    assert verdict_of(ink(text), 0.0, 0.0) == "garbled"


def test_a_few_bullets_of_a_symbol_font_do_no_harm() -> None:
    assert not is_garbled(ink("\uf0b7 one point of the list \uf0b7 and another point of it"))


def test_characters_without_a_meaning_in_their_font_are_garbled() -> None:
    assert is_garbled(ink("plain words of a page"), unmapped_share=0.9)
    assert not is_garbled(ink("plain words of a page"), unmapped_share=0.2)


def test_a_sample_is_spread_over_the_page() -> None:
    sample = sample_of(np.arange(1_000))
    assert len(sample) <= 64
    assert (sample[0], sample[-1] > 900) == (0, True)
    assert sample_of(np.arange(3)).tolist() == [0, 1, 2]
