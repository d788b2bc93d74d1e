"""200 answers put together from marked sentences, read as a careful reader would.

The parts are written by hand with what each of them stands for; which ones meet, in which order and
cut where, is drawn with a fixed seed.
"""

import random

import pytest

from desktop.chat.citations import CitationReader
from desktop.chat.evidence import checked
from desktop.chat.passages import Passage

ANSWERS = 200
TOPICS = ("revenue", "interest", "staff", "patents", "debt", "energy", "rent", "taxes")
PASSAGES = tuple(
    Passage(n=n, file=f"{topic}.pdf", path=f"/{topic}.pdf", page=10 + n, text=(
        f"This page is about {topic}. The {topic} of the year were {n * 111} units in all. "
        f"Experts on {topic} disagree about the cause [{n + 20}]. More on {topic} stands in [2]."
    ))
    for n, topic in enumerate(TOPICS, 1)
)  # fmt: skip
# {n}: a passage that was sent, {m}: another one, {t}: its topic, {x}: a number that was not sent,
# {s}: a number that passage n itself refers to. Then: what is shown in place of the last marker
# (None: the text as written), the passages cited, the numbers removed.
PARTS = [
    ("The {t} were {v} units [{n}].", None, "n", ""),
    ("The {t} were {v} units.[{n}]", None, "n", ""),
    ("According to [{n}], the {t} were {v} units.", None, "n", ""),
    ("The {t} were {v} units [{n}][{m}].", None, "nm", ""),
    ("The {t} were {v} units [{n}, {m}].", None, "nm", ""),
    ("The {t} were {v} units [{n}; {m}; {n}].", None, "nm", ""),
    ("- **{t}**: {v} units [{n}]", None, "n", ""),
    ("| {t} | {v} | [{n}] |", None, "n", ""),
    ("The {t} fell sharply [{x}].", "The {t} fell sharply.", "", "x"),
    ("The {t} fell sharply [{n}, {x}].", "The {t} fell sharply [{n}].", "n", "x"),
    ("The {t} fell sharply [{x}][{n}].", "The {t} fell sharply[{n}].", "n", "x"),
    ("[{x}] says otherwise.", " says otherwise.", "", "x"),
    ("Experts on {t} disagree about the cause [{s}].", None, "", ""),
    ("Somebody wrote of it in [{s}] as well.", None, "", ""),
    ("More on {t} stands in [2].", None, "", ""),
    ("Call `rows[{x}]` or `rows[{n}]` for it.", None, "", ""),
    ("```python\ntotal = rows[{x}] + rows[{n}]\n```", None, "", ""),
    ("See [{n}](http://example.invalid/{t}) for more.", "See [{n}] for more.", "n", ""),
    ("See [{x}](http://example.invalid/{t}) for more.", "See for more.", "", "x"),
    ("See [{t}](http://example.invalid/{n}) for more.", None, "", ""),
    ("The {t} were {v} units 【{n}†source】.", "The {t} were {v} units [{n}].", "n", ""),
    ("The {t} were {v} units [^{x}].", "The {t} were {v} units.", "", "x"),
    ("The {t} were {v} units [{n}, page 3].", "The {t} were {v} units [{n}].", "n", ""),
    ("The index a[{x}] is out of range.", None, "", ""),
    ("In [2020] and [19.5] nothing happened.", None, "", ""),
    ("The range [0, 1] is meant.", None, "", ""),
    (r"Write \[{n}] to cite.", None, "", ""),
    ("Nothing else is known of the {t}.", None, "", ""),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(ANSWERS))
def test_a_scripted_answer_is_read_as_a_careful_reader_would(seed: int):
    draw = random.Random(seed)
    raw, text, cited, removed = [], [], [], []
    for wrote, shows, numbers, gone in draw.choices(PARTS, k=draw.randint(2, 7)):
        n, m = draw.sample(range(1, len(TOPICS) + 1), 2)
        x = draw.choice([9, 12, 19, 99, 500])
        values = {"n": n, "m": m, "x": x, "s": n + 20, "t": TOPICS[n - 1], "v": n * 111}
        raw.append(wrote.format_map(values))
        text.append((shows or wrote).format_map(values))
        cited += [values[one] for one in numbers]
        removed += [values[one] for one in gone]
    reader = CitationReader(PASSAGES)
    whole, at = "\n".join(raw), 0
    while at < len(whole):
        size = draw.randint(1, 9)
        reader.feed(whole[at : at + size])
        at += size
    reader.finish()
    assert reader.text == "\n".join(text)
    assert reader.removed == removed
    found = checked(reader)
    named = [one for one in found.citations if one.how == "cited"]
    assert [one.n for one in named] == list(dict.fromkeys(cited))
    for one in named:
        passage = PASSAGES[one.n - 1]
        assert (one.file, one.page) == (passage.file, passage.page)
        assert one.quote in passage.text
