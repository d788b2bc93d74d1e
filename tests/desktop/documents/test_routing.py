import math
from dataclasses import replace

import pytest

from desktop.documents.profiles import Profile, name_words
from desktop.documents.query import clean
from desktop.documents.routing import document_scores, routing_terms, stands_out, year_fit
from desktop.documents.tokens import Tokens
from tests.desktop.documents.texts import pages


def profile(name: str, *texts: str) -> Profile:
    return Profile.of(name, Tokens.of_pages(pages(*texts)))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("AMERICANEXPRESS_2015_10K.pdf", ["americanexpress", "2015", "10k"]),
        ("BestBuy2023.pdf", ["bestbuy2023", "best", "bui", "2023"]),
        ("3M_2018.pdf", ["3m", "2018"]),
        ("viavi-solutions-inc_2019.pdf", ["viavi", "solut", "inc", "2019"]),
        ("f86d073b0d735ac8.pdf", ["f86d073b0d735ac8"]),
        ("", []),
    ],
)
def test_a_file_name_is_split_into_words(name: str, words: list[str]):
    assert name_words(name)[: len(words)] == words


def test_the_front_is_3000_characters_of_two_pages():
    own = profile("a.pdf", "one " * 700, "two " * 100, "three")
    assert own.front == {"on": 700, "two": 50}
    assert (own.front_size, own.whole_size) == (750, 801)
    assert own.whole["three"] == 1


def test_years_are_counted():
    own = profile("Report_2018.pdf", "in 2018 and 2017, 2018", "12018 1800 2018")
    assert own.years == {2018: 3, 2017: 1}
    assert own.name_years == {2018}


def test_a_name_that_is_glued_is_found():
    fit = document_scores(
        clean("What did American Express pay?"),
        [profile("AMERICANEXPRESS.pdf", "text"), profile("OTHER.pdf", "text")],
    )
    assert fit.tolist() == [1, 0]


def test_scores_add_name_front_and_a_third_of_the_whole():
    profiles = [profile("debt.pdf", "x x"), profile("b.pdf", "debt y")]
    rare = math.log(1 + 1.5 / 1.5)
    name = rare * 1.5 / 1.5
    # Sizes are equal: k1 .8, b .3, count 1.
    text = rare * 1.8 / 1.8
    expected = [name, text + 0.3 * text]
    fit = document_scores(clean("debt"), profiles)
    assert fit.tolist() == pytest.approx([expected[0] / expected[1], 1])


def test_long_texts_and_repeated_names_count_a_little_less():
    profiles = [profile("debt-debt.pdf", "x"), profile("b.pdf", "debt y z"), profile("c.pdf", "w")]
    rare = math.log(1 + 2.5 / 1.5)
    # Name: count 2, k1 .5. Text: 3 words where the mean is 5 / 3, k1 .8, b .3.
    name = rare * 2 * 1.5 / 2.5
    text = 1.3 * rare * 1.8 / (1 + 0.8 * (0.7 + 0.3 * 3 / (5 / 3)))
    fit = document_scores(clean("debt"), profiles)
    assert fit.tolist() == pytest.approx([name / max(name, text), text / max(name, text), 0])


def test_the_latest_year_asked_tells_sister_documents_apart():
    sisters = [profile(f"ACME_{year}.pdf", f"Acme {year} {year} {year - 1}")
               for year in (2017, 2018)]  # fmt: skip
    # Texts are alike, so 1 each; fit to 2018: (0 + 0) and (0.5 + 0.5).
    fit = document_scores(clean("Acme sales in 2017 and 2018"), sisters)
    assert fit.tolist() == pytest.approx([1 / 1.6, 1])
    assert year_fit(sisters[1], 2017) == pytest.approx(0.5 * 0.5)
    assert year_fit(profile("b.pdf", "2016 2016 2015"), 2015) == pytest.approx(0.5)


def test_years_are_no_words_of_a_document():
    fit = document_scores(clean("2018"), [profile("a2018.pdf", "x"), profile("b.pdf", "y")])
    assert fit.tolist() == [1, 0]
    assert document_scores(clean("sales"), [profile("a.pdf", "x")]).tolist() == [0]


def test_a_document_stands_out_by_name_or_by_a_clear_lead():
    named = [profile("acme.pdf", "sales"), profile("b.pdf", "sales sales")]
    alike = [profile("a.pdf", "sales x"), profile("b.pdf", "sales y")]
    ahead = [profile("a.pdf", "sales"), profile("b.pdf", "profit")]
    query = clean("acme sales")
    assert stands_out(query, named, document_scores(query, named))
    assert not stands_out(query, alike, document_scores(query, alike))
    assert stands_out(query, ahead, document_scores(query, ahead))


def test_profiles_of_the_routing_terms_alone_give_the_same_scores():
    own = [profile("AMERICANEXPRESS_2015.pdf", "card fees 2015"), profile("b.pdf", "card 2014")]
    query = clean("American Express card fees in 2015")
    terms = set(routing_terms(query))
    cut = [replace(each, **{part: {word: n for word, n in getattr(each, part).items()
                                   if word in terms} for part in ("name", "front", "whole")})
           for each in own]  # fmt: skip
    assert cut != own
    assert document_scores(query, cut).tolist() == document_scores(query, own).tolist()
