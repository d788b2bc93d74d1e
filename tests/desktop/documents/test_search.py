from collections.abc import Iterator

import pytest

from desktop.documents.packs import shipped_packs
from desktop.documents.postings import Postings
from desktop.documents.search import rank_collection, rank_document
from desktop.documents.tokens import PageText
from tests.desktop.documents.fts_documents import FtsDocuments
from tests.desktop.documents.texts import pages

FILES = {
    "ACME_2017.pdf": pages("Acme annual report 2017", "Net sales 310 290\nNet income 12 11"),
    "ACME_2018.pdf": pages("Acme annual report 2018", "Net sales 342 310\nNet income 15 12"),
    "owl.pdf": pages("The owl hunts at night.", "It eats mice. The nest is in a barn."),
}


@pytest.fixture
def documents() -> Iterator[FtsDocuments]:
    with FtsDocuments(FILES) as collection:
        yield collection


def test_the_page_of_the_named_document_and_year_is_first(documents: FtsDocuments):
    found = rank_collection("What were the net sales of Acme in FY2018?", documents).found()
    places = [(hit.document, hit.page) for hit in found.hits]
    assert places[0] == (1, 2)
    assert places.index((0, 2)) < places.index((0, 1))
    assert found.searched[0] == 1
    assert [hit.score for hit in found.hits] == sorted((h.score for h in found.hits), reverse=True)


def test_a_document_outside_the_routed_ones_is_still_found():
    apart = pages("owl is", "beak is", "yellow is")
    files = {f"{at}.pdf": apart for at in range(6)}
    # Its first two pages hold nothing, so that six documents fit better.
    files["z.pdf"] = pages("x", "y", "the yellow beak of the owl")
    with FtsDocuments(files) as documents:
        ranked = rank_collection("yellow beak of the owl", documents)
    first = ranked.found().hits[0]
    assert (documents.names[first.document], first.page) == ("z.pdf", 3)
    assert ranked.fit.argmin() == ranked.pool.index(6)


@pytest.mark.parametrize(("question", "share"), [("Acme net sales", 1.5), ("net sales", 0.7)])
def test_a_page_takes_a_share_of_its_document(documents: FtsDocuments, question: str, share: float):
    ranked = rank_collection(question, documents)
    added = ranked.scores - ranked.ranking.default
    assert added.tolist() == pytest.approx(
        (share * ranked.fit[ranked.ranking.scope.document]).tolist()
    )
    assert added.max() == pytest.approx(share)


def test_only_pinned_documents_are_searched(documents: FtsDocuments):
    found = rank_collection("net sales of Acme in 2018", documents, only=[0]).found()
    assert {hit.document for hit in found.hits} == {0}
    assert found.searched == (0,)


def test_a_hit_names_its_passage_and_why():
    text = "filler line of the page\n" * 100 + "Interest expense 380 412\n" + "more filler\n" * 50
    own = Postings.of_document([PageText(1, "cover"), PageText(49, text)])
    hit, before = rank_document("What is the interest expense?", own).found().hits
    assert (hit.page, before.page) == (49, 1)
    assert str(before.why) == "next to a page that fits"
    assert "Interest expense 380 412" in text[hit.start : hit.end]
    assert hit.why.words == ("interest", "expense")
    assert hit.why.rows == ("interest expense",)
    assert str(hit.why) == "words: interest, expense; in one row: interest expense"
    assert hit.why.by == "words"


def test_a_hit_of_a_pack_says_so():
    own = Postings.of_document(pages("Purchases of property, plant and equipment 1,373 1,577"))
    (hit,) = rank_document("capex?", own, shipped_packs()).found().hits
    assert hit.why.pack == ("purchases of property plant equipment",)
    assert str(hit.why) == "from a pack: purchases of property plant equipment"
    assert rank_document("capex?", own).found().hits == ()


def test_only_the_longest_rows_are_told():
    own = Postings.of_document(pages("total net sales 1 2"))
    (hit,) = rank_document("total net sales", own).found().hits
    assert hit.why.rows == ("total net sales",)


def test_pages_without_text_are_no_passages():
    own = Postings.of_document(pages("", "debt", ""))
    assert [hit.page for hit in rank_document("debt", own).found().hits] == [2]


def test_nothing_in_common_finds_nothing(documents: FtsDocuments):
    assert rank_collection("zebra", documents).found().hits == ()
    assert rank_collection("?!", documents).found().hits == ()
    with FtsDocuments({}) as empty:
        assert rank_collection("debt", empty).found().hits == ()


def test_k_limits_the_hits(documents: FtsDocuments):
    assert len(rank_collection("Acme net sales", documents).found(3).hits) == 3
