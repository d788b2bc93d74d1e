"""Words of a text and their Porter stems: the one idea of "the same word" that search has.

Knows no documents and no questions. Porter's stemmer: M. F. Porter, "An algorithm for suffix
stripping", 1980, as in the package snowballstemmer.
"""

import re
import sys
import unicodedata
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

WORD = re.compile(r"[^\W_]+")
_CACHE_LIMIT = 400_000
_ALONE = "snowballstemmer_porter_alone"


class _Stems(dict[str, str]):
    """Stems by word, filled as they are asked: the stemmer takes 15 us, a look-up 0.05."""

    def __init__(self) -> None:
        super().__init__()
        self._stem_word = _porter()

    def __missing__(self, word: str) -> str:
        if len(self) >= _CACHE_LIMIT:
            self.clear()
        lower = word.lower()
        if not lower.isascii():
            # Ligatures and full-width letters of PDFs are the same word to a reader.
            lower = unicodedata.normalize("NFKC", lower)
        self[word] = stemmed = self._stem_word(lower)
        return stemmed


def _porter() -> Callable[[str], str]:
    """The package's stemmer of that name without those of its 37 other languages.

    Importing the package loads them all: a fifth of the time that a search takes to start.
    """
    found = find_spec("snowballstemmer")
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError("snowballstemmer", name="snowballstemmer")
    package = ModuleType(_ALONE)
    package.__path__ = found.submodule_search_locations
    sys.modules[_ALONE] = package
    return import_module(f"{_ALONE}.porter_stemmer").PorterStemmer().stemWord


_STEMS = _Stems()


def words(text: str) -> list[str]:
    """The words of `text` in order: runs of letters and digits, lower case, not stemmed."""
    return [word.lower() for word in WORD.findall(text)]


def stem(word: str) -> str:
    """The Porter stem of one word, in any case."""
    return _STEMS[word]


def stems(text: str) -> list[str]:
    """The stems of the words of `text`, in order."""
    return [_STEMS[word] for word in WORD.findall(text)]
