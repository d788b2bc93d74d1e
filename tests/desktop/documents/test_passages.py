"""A question to a library: passages with their places, a pinned document, and what was searched."""

import pytest

from converters.documents.page import Page
from converters.errors import UserError
from desktop.documents import lookup
from desktop.documents.additions import Additions
from desktop.documents.document_pages import DocumentPages
from desktop.documents.found_files import FoundFile
from desktop.documents.library import Library
from desktop.documents.lookup import LibraryDocuments, PostingsCache
from desktop.documents.packs import shipped_packs
from desktop.documents.passages import answer_of, ask, look, whole_document
from desktop.documents.query import clean
from desktop.documents.removal import remove_files
from desktop.documents.routing import routing_terms
from desktop.documents.search import rank_collection
from desktop.documents.tokens import PageText
from tests.desktop.documents import stored
from tests.desktop.documents.fts_documents import FtsDocuments

FILES = {
    "ACME_2017": ["Acme annual report 2017\n", "Net sales 310 290\nNet income 12 11\n"],
    "ACME_2018": ["Acme annual report 2018\n", "Net sales 342 310\nNet income 15 12\n"],
    "owl": ["The owl hunts at night.\n", "It eats mice.\nThe nest is in a barn.\n"],
}


@pytest.fixture
def folder(tmp_path):
    return stored.library(tmp_path / "library", **FILES)


def test_a_passage_has_file_page_places_score_and_why(folder):
    with Library(folder) as library:
        answer = ask(library, "What were the net sales of Acme in FY2018?")
    first = answer.passages[0]
    assert (first.file, first.path, first.page) == (
        "ACME_2018.pdf", "/papers/ACME_2018.pdf", 2
    )
    assert first.text == "Net sales 342 310 Net income 15 12"
    assert first.rects[0] == (0.0, 0.0, 102.0, 10.0)
    assert (first.by, first.has_hidden) == ("words", False)
    assert "in one row: net sales" in first.why
    assert answer.searched[0] == "ACME_2018.pdf"
    assert (answer.pages_indexed, answer.pages) == (6, 6)


@pytest.mark.parametrize("question", [
    "What were the net sales of Acme in FY2018?", "owl at night", "net income", "barn", "capex",
])
def test_the_store_ranks_as_the_same_texts_in_memory(folder, question):
    files = {
        f"{name}.pdf": [PageText(number, text) for number, text in enumerate(texts, 1)]
        for name, texts in FILES.items()
    }
    with Library(folder) as library, FtsDocuments(files) as memory:
        ours = LibraryDocuments(library, PostingsCache())
        terms = routing_terms(clean(question))
        for a, b in zip(ours.profiles(terms), memory.profiles(terms), strict=True):
            assert {t: a.whole.get(t) for t in terms} == {t: b.whole.get(t) for t in terms}
            assert {t: a.front.get(t) for t in terms} == {t: b.front.get(t) for t in terms}
            assert (a.name, a.years, a.front_size, a.whole_size, a.name_years) == (
                b.name, b.years, b.front_size, b.whole_size, b.name_years
            )
        packs = shipped_packs()
        assert rank_collection(question, ours, packs).found().hits == (
            rank_collection(question, memory, packs).found().hits
        )


@pytest.mark.parametrize(("pin", "file"), [
    ("acme_2017.PDF", "ACME_2017.pdf"), ("2018", "ACME_2018.pdf"), ("owl", "owl.pdf"),
    ("papers/owl", "owl.pdf"),
])
def test_a_document_is_pinned_by_its_name_or_a_part_of_it(folder, pin, file):
    with Library(folder) as library:
        answer = ask(library, "net sales owl", file=pin)
    assert {passage.file for passage in answer.passages} == {file}
    assert answer.searched == (file,)


def test_a_document_is_pinned_by_any_of_its_copies_and_told_under_that_name(folder):
    with Library(folder, may_write=True) as library:
        stored.add(library, "zebra.pdf", FILES["owl"])
        for pin, file in (("zebra", "zebra.pdf"), ("owl", "owl.pdf"), ("ebra.p", "zebra.pdf")):
            answer = ask(library, "mice", file=pin)
            assert (answer.searched, answer.passages[0].file) == ((file,), file)
            assert answer.passages[0].path == f"/papers/{file}"
        assert whole_document(library, "zebra", most_words=100).name == "zebra.pdf"


def test_a_pin_that_fits_several_or_none_is_said(folder):
    with Library(folder) as library:
        with pytest.raises(UserError) as caught:
            ask(library, "net sales", file="acme")
        assert caught.value.title == '"acme" names 2 documents.'
        assert "/papers/ACME_2017.pdf, /papers/ACME_2018.pdf" in caught.value.detail
        with pytest.raises(UserError) as caught:
            ask(library, "net sales", file="zebra")
        assert caught.value.title == 'The library has no document "zebra".'
        assert "ACME_2017.pdf, ACME_2018.pdf, owl.pdf" in caught.value.detail


def test_a_document_goes_by_a_file_that_is_still_there(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("a paper.pdf", "b.pdf", "z paper.pdf")]
    folder = stored.library(tmp_path / "library", owl=FILES["owl"])
    with Library(folder, may_write=True) as library:
        for path in paths:
            stored.add(library, str(path), ["A zebra.\n"])
        assert ask(library, "zebra").searched[0] == "a paper.pdf"  # none is there
        paths[2].touch()
        assert ask(library, "zebra").passages[0].path == str(paths[2])
        assert ask(library, "zebra", file="paper").passages[0].file == "z paper.pdf"
        assert ask(library, "zebra", file="b.pdf").passages[0].file == "b.pdf"
        names = LibraryDocuments(library, PostingsCache()).file_names()
        assert {one.name for one in names} == {"owl.pdf", *(path.name for path in paths)}
        looked_at = []
        monkeypatch.setattr(lookup.os.path, "exists", looked_at.append)
        cache = PostingsCache()
        for _ in range(3):
            ask(library, "owl", cache=cache)
        assert looked_at == [str(path).encode() for path in paths]  # once, and no lone file


def test_a_pin_that_fits_copies_counts_documents_and_lists_as_many(folder):
    with Library(folder, may_write=True) as library:
        for number in range(12):
            for copy in ("a", "b"):
                stored.add(library, f"paper {number} {copy}.txt", [f"Zebra {number}.\n"])
        with pytest.raises(UserError) as caught:
            ask(library, "zebra", file="paper ")
    assert caught.value.title == '"paper " names 12 documents.'
    assert caught.value.detail.count("/papers/paper") == 10
    assert caught.value.detail.endswith(" and 2 more.")


def test_codes_and_words_without_spaces_are_found_by_their_letters(tmp_path):
    folder = stored.library(
        tmp_path / "library",
        manual=["The pump XK47B-2219/A is replaced yearly.\n", "Nothing here.\n"],
        chinese=["本章介绍机器学习的基本概念。\n", "天气很好。\n"],
    )
    with Library(folder) as library:
        found = ask(library, "47B-2219").passages
        assert (found[0].file, found[0].page) == ("manual.pdf", 1)
        answer = ask(library, "什么是机器学习")
        assert [(passage.file, passage.page) for passage in answer.passages] == [("chinese.pdf", 1)]
        assert answer.passages[0].why == "letters of the question"
        nothing = ask(library, "量子")
        assert nothing.passages == ()
        assert nothing.nothing.startswith("Fewer than 3 characters of a script without spaces")


def test_a_code_is_found_in_the_pinned_document_however_many_others_hold_it(tmp_path):
    others = {f"a{n}": [f"XK47B-2219 {n}\n"] for n in range(25)}
    folder = stored.library(tmp_path / "library", **others, manual=["long " * 300 + "XK47B-2219/A"])
    with Library(folder) as library:
        assert ask(library, "K47B-22", k=1, file="manual").passages[0].file == "manual.pdf"


def test_why_nothing_was_found_is_said(folder, tmp_path):
    with Library(folder, may_write=True) as library:
        answer = ask(library, "Where are the zebra's quaggas?")
        assert (answer.looked_through, answer.considered, answer.unread) == (True, 3, 0)
        assert answer.nothing == "No word of the question is in them: zebra, quaggas."
        pinned = ask(library, "zebra", file="owl")
        assert pinned.nothing == "No word of the question is in it: zebra."
        assert ask(library, "would they").nothing == (
            "No word of the question is in them: would, they."
        )
        assert ask(library, "?!").nothing == "The question holds no word to look for."
        found = ask(library, "owl")
        assert (found.looked_through, found.nothing) == (False, "")
        Additions(library).register([FoundFile(b"/papers/later.pdf", 1, 1)])
        assert ask(library, "zebra").unread == 1
        assert ask(library, "zebra", file="owl").unread == 0
    with Library(tmp_path, may_write=True) as empty:
        answer = ask(empty, "owl")
        assert answer.nothing == "The library holds no document with text."


def test_text_that_a_reader_does_not_see_is_marked(tmp_path):
    file = FoundFile(b"/papers/trap.pdf", 1, 1)
    text = "Ignore the owl.\nA plain line.\n"
    page = stored.placed_page(1, text)
    hidden = Page(1, 612, 792, text, page.boxes, "text", 15, ((0, 15),))
    with Library(tmp_path, may_write=True) as library:
        Additions(library).register([file])
        pages = DocumentPages(library, file, "0" * 64)
        pages.add(hidden)
        pages.store(1)
    with Library(tmp_path) as library:
        assert ask(library, "owl").passages[0].has_hidden


def test_an_empty_question_and_an_empty_library_find_nothing(folder, tmp_path):
    with Library(folder) as library:
        assert ask(library, "?!").passages == ()
    with Library(stored.library(tmp_path / "empty")) as library:
        assert ask(library, "owl").passages == ()


def test_the_commonest_words_are_left_out_where_they_would_cost_too_much(folder, monkeypatch):
    monkeypatch.setattr(lookup, "ROWS_LOOKED_AT", 2)
    with Library(folder) as library:
        documents = LibraryDocuments(library, PostingsCache())
        query = clean("net sales of the barn owl")
        assert documents._affordable(query.telling) == ["barn", "owl"]
        assert set(documents.candidates(query, 30)) == {2}


def test_the_cache_lets_the_oldest_postings_go(folder, monkeypatch):
    monkeypatch.setattr(lookup, "CACHE_BYTES", 1)
    cache = PostingsCache()
    with Library(folder) as library:
        documents = LibraryDocuments(library, cache)
        first = documents.postings(0)
        assert documents.postings(0) is first
        documents.postings(1)
        assert documents.postings(0) is not first


def test_a_kept_cache_learns_what_was_added_and_forgotten_meanwhile(folder):
    cache = PostingsCache()
    with Library(folder) as library, Library(folder, may_write=True) as other:
        assert ask(library, "the wolf", cache=cache).passages == ()
        stored.add(other, "wolf.pdf", ["The wolf howls.\n"])
        assert [p.file for p in ask(library, "the wolf", cache=cache).passages] == ["wolf.pdf"]
        Additions(other).forget([b"/papers/wolf.pdf"])
        assert ask(library, "the wolf", cache=cache).passages == ()
        stored.add(other, "fox.pdf", ["The fox barks.\n"])
        assert [p.file for p in ask(other, "the fox", cache=cache).passages] == ["fox.pdf"]


def test_a_document_that_goes_between_ranking_and_answer_costs_its_passages_alone(folder):
    question = "What were the net sales of Acme?"
    with Library(folder) as library:
        looked = look(library, question)
        remove_files(folder, ["ACME_2018.pdf"], lambda told: None)
        answer = answer_of(library, looked, question)
    assert {passage.file for passage in answer.passages} == {"ACME_2017.pdf"}


def test_a_whole_document_is_told_in_order_and_a_long_one_is_not_read(folder):
    with Library(folder) as library:
        whole = whole_document(library, "owl", most_words=100)
        assert [passage.page for passage in whole.passages] == [1, 2]
        assert whole.passages[1].text == "It eats mice. The nest is in a barn."
        long = whole_document(library, "owl", most_words=3)
        assert (long.name, long.passages, long.is_too_long) == ("owl.pdf", (), True)
        assert whole_document(library, "", most_words=100).name == ""


def test_a_whole_document_tells_how_many_of_its_pages_have_no_text(tmp_path):
    folder = stored.library(tmp_path / "library", scan=["A title\n", "", ""])
    with Library(folder) as library:
        assert whole_document(library, "", most_words=100).pages_without_text == 2
