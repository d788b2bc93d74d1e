"""Whether the characters of a page are text, judged from their code points alone."""

import numpy as np
import numpy.typing as npt

from converters.documents.page import Verdict

_FEW = 20  # characters: a page number on a scan is no text
_BROKEN_SHARE = 0.1
_SAMPLE = 64
_UNMAPPED_SHARE = 0.5
_LETTERS_TO_JUDGE = 100
_VOWELS = frozenset(b"aeiouyAEIOUY")
_FEWEST_VOWELS, _MOST_VOWELS = 0.18, 0.75
_LARGE_PICTURE = 0.3  # of the page

_IS_VOWEL = np.array([code in _VOWELS for code in range(128)])
_IS_LETTER = np.array([chr(code).isalpha() for code in range(128)])
_IS_CONTROL = np.array([code < 32 and code not in (9, 10, 13) for code in range(128)])


def verdict_of(
    ink: npt.NDArray[np.uint32], unmapped_share: float, picture_share: float
) -> Verdict:
    """The verdict of a page. ink: its code points without white space, as the file gives them.

    unmapped_share: of a sample, the characters without a Unicode value in their font.
    picture_share: how much of the page pictures cover, 0 to 1.
    """
    if len(ink) < _FEW and picture_share > _LARGE_PICTURE:
        return "scan"
    if not len(ink):
        return "scan" if picture_share else "empty"
    return "garbled" if is_garbled(ink, unmapped_share) else "text"


def is_garbled(ink: npt.NDArray[np.uint32], unmapped_share: float = 0.0) -> bool:
    """Replacement and private characters, controls, or Latin letters that make no words."""
    small = ink[ink < 128]
    broken = (ink == 0xFFFD) | ((ink >= 0xE000) & (ink < 0xF900)) | (ink >= 0xF0000)
    count = int(broken.sum()) + int(_IS_CONTROL[small].sum())
    if count > max(_BROKEN_SHARE * len(ink), 3):
        return True
    if unmapped_share > _UNMAPPED_SHARE:
        return True
    letters = small[_IS_LETTER[small]]
    if len(letters) < max(_LETTERS_TO_JUDGE, len(ink) / 2):
        return False
    return not _FEWEST_VOWELS <= float(_IS_VOWEL[letters].mean()) <= _MOST_VOWELS


def sample_of(characters: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """At most 64 of `characters`, evenly spread."""
    step = -(-len(characters) // _SAMPLE) or 1
    return characters[::step]
