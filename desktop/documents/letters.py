"""What words cannot find: codes, and scripts that put no spaces between words.

Such text is kept once more, cut down to itself, in an index of three letters each.
"""

import re

_WITHOUT_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUN = re.compile(f"[{_WITHOUT_SPACES}]+")
_CODE = re.compile(r"(?=\S*\d)(?=\S*[^\W\d_])[^\W_]+(?:[-./_:#+][^\W_]+)*")
# Words with a digit, found at their first character alone; what _CODE looks for is inside of one.
_WITH_DIGIT = re.compile(r"(?<!\S)[^\s\d]*+\d\S*")
_SHORTEST_CODE = 4
LETTERS = 3


def odd_words(text: str) -> list[str]:
    """The runs of scripts without spaces, and the codes (letters with digits), in order."""
    codes = [word for with_digit in _WITH_DIGIT.findall(text) for word in _CODE.findall(with_digit)
             if len(word) >= _SHORTEST_CODE and not _RUN.search(word)]  # fmt: skip
    return [*_RUN.findall(text), *codes]


def is_too_short(word: str) -> bool:
    """Whether a word of a script without spaces can be missed: it stands inside of longer runs."""
    runs = _RUN.findall(word)
    return bool(runs) and max(map(len, runs)) < LETTERS


def letter_query(question: str) -> str:
    """An FTS5 query over `odd_words`, "" if the question has none of three letters."""
    wanted: dict[str, None] = {}
    for word in odd_words(question):
        if _RUN.fullmatch(word):
            starts = range(len(word) - LETTERS + 1)
            wanted |= dict.fromkeys(word[start : start + LETTERS] for start in starts)
        else:
            wanted[word] = None
    return " OR ".join(f'"{word}"' for word in wanted)
