"""Which [n] of an answer are ours, whatever way the answer is cut into pieces."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from desktop.chat.citations import CitationReader
from desktop.chat.evidence import checked
from desktop.chat.passages import Passage

SOURCES = (
    Passage(n=1, file="a.pdf", path="/a.pdf", page=4, text=(
        "Revenue grew to 12.5 million in 2020. Interest expense fell, as shown before [12]. "
        "Staff costs were flat."
    ), rects=((1, 2, 3, 4),)),
    Passage(n=2, file="a.pdf", path="/a.pdf", page=7, text=(
        "The method follows Smith and others [3]. Deep networks were trained for nine days [2]."
    )),
    Passage(n=3, file="b.md", path="/b.md", page=1, text="Nothing much is said here."),
)  # fmt: skip


def read(pieces: Sequence[str]) -> CitationReader:
    reader = CitationReader(SOURCES)
    shown = "".join([reader.feed(piece) for piece in pieces] + [reader.finish()])
    assert shown == reader.text
    assert reader.raw == "".join(pieces)
    return reader


# (what the model wrote, what is shown, numbers of each mark, removed)
CASES = [
    ("Revenue grew [1].", "Revenue grew [1].", [(1,)], []),
    ("Revenue grew[1].", "Revenue grew[1].", [(1,)], []),
    ("Both [1, 2] say so.", "Both [1, 2] say so.", [(1, 2)], []),
    ("Both [1][2] say so.", "Both [1][2] say so.", [(1,), (2,)], []),
    ("All [1-3].", "All [1-3].", [(1, 2, 3)], []),
    ("All [1–3].", "All [1–3].", [(1, 2, 3)], []),
    ("Turned [3-1].", "Turned [3-1].", [(3, 1, 2)], []),
    ("Words [Passage 2] and [sources 1 and 3].", "Words [Passage 2] and [sources 1 and 3].",
     [(2,), (1, 3)], []),
    ("Again [1] and [1].", "Again [1] and [1].", [(1,), (1,)], []),
    ("Invented [9].", "Invented.", [], [9]),
    ("Invented [9] here.", "Invented here.", [], [9]),
    ("Half [1, 9].", "Half [1].", [(1,)], [9]),
    # nothing is left around a number that went
    ("Invented ([9]).", "Invented.", [], [9]),
    ("Invented **[9]** here, *[8]* too.", "Invented here, too.", [], [9, 8]),
    ("Said (see [9]) and ([9] too) and ([1]).", "Said (see) and ( too) and ([1]).", [(1,)], [9, 9]),
    ("A **bold [9]** word and 2 * 3 * 4 (all) *", "A **bold** word and 2 * 3 * 4 (all) *", [], [9]),
    ("So:\n- [9]: foo\n* [8]: bar\n1. [7]: baz", "So:\n- foo\n* bar\n1. baz", [], [9, 8, 7]),
    ("* [1] is so.\n* [9] not", "* [1] is so.\n* not", [(1,)], [9]),
    ("Half [9; 2; 3].", "Half [2, 3].", [(2, 3)], [9]),
    ("Range [2-5].", "Range [2, 3].", [(2, 3)], [4, 5]),
    ("Far [1-900].", "Far [1].", [(1,)], [900]),
    ("[1] At the start.", "[1] At the start.", [(1,)], []),
    ("[9] At the start.", " At the start.", [], [9]),
    # look-alikes
    ("As shown before [12].", "As shown before [12].", [], []),
    ("Elsewhere the source's own [12] stands.", "Elsewhere the source's own [12] stands.", [], []),
    ("So Smith and others [3] did.", "So Smith and others [3] did.", [], []),
    ("Others disagree [3].", "Others disagree [3].", [(3,)], []),
    ("In [2020] it was.", "In [2020] it was.", [], []),
    ("See [1.2] and [a1] and [].", "See [1.2] and [a1] and [].", [], []),
    ("The interval [0, 1] and [0].", "The interval [0, 1] and [0].", [], []),
    ("x[9] and my_list[7] and total[9]", "x[9] and my_list[7] and total", [], [9]),
    ("`a[1]` is code [1].", "`a[1]` is code [1].", [(1,)], []),
    ("``a ` [9]`` [2]", "``a ` [9]`` [2]", [(2,)], []),
    ("A lone ` tick [1].", "A lone ` tick [1].", [(1,)], []),
    ("A lone ` tick\n\nand ` [1].", "A lone ` tick\n\nand ` [1].", [(1,)], []),
    ("```\nx = y[9]\n```\nDone [1].", "```\nx = y[9]\n```\nDone [1].", [(1,)], []),
    ("```python\nx[1]\n", "```python\nx[1]\n", [], []),
    ("~~~\n[9]\n```\n[9]\n~~~\n[9]", "~~~\n[9]\n```\n[9]\n~~~\n", [], [9]),
    ("1. So:\n   ```\n   q[9]\n   ```\n2. [2]", "1. So:\n   ```\n   q[9]\n   ```\n2. [2]",
     [(2,)], []),
    ("````\n```\n[9]\n````\n[1]", "````\n```\n[9]\n````\n[1]", [(1,)], []),
    ("Said [1](http://x.example) so.", "Said [1] so.", [(1,)], []),
    ("Said [9](http://x.example/q?a=1) so.", "Said so.", [], [9]),
    ("Said [here](http://x.example) so.", "Said [here](http://x.example) so.", [], []),
    ("Said [^1] and [^9].", "Said [1] and.", [(1,)], [9]),
    ("Said ^[1]^ and ^[9]^.", "Said [1] and.", [(1,)], [9]),
    ("2^10 and ^ alone^", "2^10 and ^ alone^", [], []),
    ("Said [1.] and [1, page 2] and [2, p. 3] and [9, page 1].",
     "Said [1] and [1] and [2] and.", [(1,), (1,), (2,)], [9]),
    ("Said 【1】 and 【2†source】 and 【9】.", "Said [1] and [2] and.", [(1,), (2,)], [9]),
    ("Said [１] and [９].", "Said [1] and.", [(1,)], [9]),
    ("[9]: http://x.example\n[1]: a.pdf", " http://x.example\n[1]: a.pdf", [(1,)], [9]),
    ("[[9]]", "", [], [9]),
    ("[1000] stays.", "[1000] stays.", [], []),
    ("Said [1] (page 4).", "Said [1] (page 4).", [(1,)], []),
    ("Said [1](on page 4).", "Said [1](on page 4).", [(1,)], []),
    (r"Escaped \[1] and \[ 9 \]", r"Escaped \[1] and \[ 9 \]", [], []),
    ("Open [1 and [2", "Open [1 and [2", [], []),
    ("[[1]]", "[1]", [(1,)], []),
    ("[1\n]", "[1\n]", [], []),
    ("[" + " " * 50 + "1]", "[" + " " * 50 + "1]", [], []),
    ("", "", [], []),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "text", "marks", "removed"), CASES)
def test_numbers_are_read_as_a_careful_reader_would(raw, text, marks, removed):
    reader = read([raw])
    assert reader.text == text
    assert [mark.numbers for mark in reader.marks] == marks
    assert reader.removed == removed
    for mark in reader.marks:
        assert reader.text[mark.start] == "["
        assert reader.text[mark.end - 1] == "]"


@pytest.mark.parametrize("case", CASES)
def test_one_character_at_a_time_gives_the_same(case):
    whole, cut = read([case[0]]), read(list(case[0]))
    assert (cut.text, cut.marks, cut.removed) == (whole.text, whole.marks, whole.removed)


PIECE = st.sampled_from([
    "[", "]", "1", "2", "9", "12", ", ", "-", " ", "  ", "   ", "\n", "\n\n", "`", "``", "```",
    "~~~", "\\", "(", ")", "http://x", "word", "x", "_", "[1]", "[9]", "[1, 9]", "passage ", "> ",
    "others",
    "trained for nine days ", ".", "é", "]:", "```\n", "```py\n",
])  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECE, max_size=40), st.data())
@example(["`", "a", "\n", "\n", "`", "[9]"], None)
def test_any_cutting_gives_the_same(pieces: list[str], data):
    raw = "".join(pieces)
    whole = read([raw])
    size = data.draw(st.integers(1, 7)) if data else 2
    for cut in (pieces, [raw[at : at + size] for at in range(0, len(raw), size)]):
        other = read(cut)
        assert (other.text, other.marks, other.removed) == (whole.text, whole.marks, whole.removed)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECE, max_size=40))
def test_nothing_but_markers_and_the_spaces_before_them_is_taken_away(pieces: list[str]):
    raw = "".join(pieces)
    reader = read([raw])
    if not reader.removed:
        assert reader.text == raw
    else:
        assert len(reader.text) < len(raw)
    known = {passage.n for passage in SOURCES}
    assert all(set(mark.numbers) <= known and mark.numbers for mark in reader.marks)
    assert not set(reader.removed) & known


def test_text_is_shown_soon():
    reader = CitationReader(SOURCES)
    assert reader.feed("Revenue grew") == "Revenue grew"
    assert reader.feed(" [") == ""
    assert reader.feed("1") == ""
    assert reader.feed("]") == ""
    assert reader.feed(".") == " [1]."


def test_a_citation_has_its_place_and_the_passages_own_words():
    found = checked(read(["Revenue rose to 12.5 million [1]. It fell before [9]."]))
    [citation] = found.citations
    assert (citation.n, citation.file, citation.page, citation.how) == (1, "a.pdf", 4, "cited")
    assert citation.quote == "Revenue grew to 12.5 million in 2020."
    assert citation.rects == ((1, 2, 3, 4),)
    assert found.removed == (9,)


def test_a_passage_that_is_cited_twice_is_listed_once():
    found = checked(read(["Staff costs were flat [1]. Interest expense fell [1]."]))
    assert [citation.quote for citation in found.citations] == ["Staff costs were flat."]
    assert len(found.marks) == 2


def test_a_mark_behind_the_full_stop_belongs_to_the_sentence_before():
    found = checked(read(["Interest expense fell. [1] Then more."]))
    assert found.citations[0].quote.startswith("Interest expense fell")


def test_an_answer_without_numbers_is_matched_and_says_so():
    found = checked(read(["Deep networks were trained for nine days. The sky is blue today."]))
    [citation] = found.citations
    assert (citation.n, citation.how, citation.share) == (2, "matched", 1.0)
    assert citation.quote == "Deep networks were trained for nine days [2]."


@pytest.mark.parametrize(
    "answer",
    ["Revenue grew to 99 million in 2020.", "It grew.", "The moon orbits planet earth.",
     "This is not in your documents."],
)  # fmt: skip
def test_a_sentence_that_no_passage_carries_is_matched_with_none(answer: str):
    assert checked(read([answer])).citations == ()


def test_a_quote_of_a_table_is_a_piece_of_it():
    table = " ".join(f"row{at} value{at} {at * 1000}" for at in range(200))
    passage = Passage(n=1, file="t", path="t", page=1, text=table)
    reader = CitationReader([passage])
    reader.feed("It was 77000 in row77 [1].")
    reader.finish()
    [citation] = checked(reader).citations
    assert "row77 value77 77000" in citation.quote
    assert len(citation.quote) <= 300
    assert citation.quote in table
