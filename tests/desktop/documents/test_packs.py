import json
from pathlib import Path
from typing import Any

import pytest

from converters.errors import UserError
from desktop.documents.packs import Pack, expand, load_pack, row_stems, shipped_packs
from desktop.documents.query import clean
from desktop.documents.words import words


def pack(*rules: tuple[str, str]) -> Pack:
    """Rules as "ask|ask" and "row|row"."""
    written = [{"ask": ask.split("|"), "rows": rows.split("|")} for ask, rows in rules]
    return Pack.model_validate(
        {"name": "test", "title": "Test", "version": 1, "rules": written}
    )  # fmt: skip


def added(question: str, *packs: Pack) -> list[str]:
    return [phrase.text for phrase in expand(clean(question), packs).phrases]


def test_a_word_of_the_question_adds_the_rows_of_its_rule():
    own = pack(("capex|capital expenditure", "purchases of property|investing activities"))
    found = expand(clean("Capital expenditures in FY18?"), [own])
    assert [phrase.text for phrase in found.phrases] == [
        "purchases of property", "investing activities",
    ]  # fmt: skip
    assert found.terms == ("purchas", "properti", "invest", "activ")
    assert {phrase.asked for phrase in found.phrases} == {"capital expenditure"}


def test_signs_and_endings_do_not_matter():
    own = pack(("sg&a", "selling expenses"), ("dividend", "cash paid"))
    assert added("How did SG&A and Dividends change?", own) == ["selling expenses", "cash paid"]


def test_the_longer_of_overlapping_phrases_counts():
    own = pack(("debt", "notes payable"), ("debt securities", "trading symbol"))
    assert added("Which debt securities are registered?", own) == ["trading symbol"]
    assert added("debt and debt securities", own) == ["notes payable", "trading symbol"]


def test_several_packs_add_up_and_a_phrase_counts_once():
    first, second = pack(("fee", "audit fees")), pack(("fee", "fees audit|legal fees"))
    assert added("Which fees?", first, second) == ["audit fees", "legal fees"]
    assert added("Which fees?") == []


def test_row_phrases_keep_words_that_a_report_writes():
    assert row_stems("income before taxes and the minority") == (
        "incom", "befor", "tax", "minor",
    )  # fmt: skip


def test_the_finance_pack_ships_and_can_be_switched_off():
    assert [each.name for each in shipped_packs()] == ["finance"]
    assert shipped_packs(off=["finance"]) == ()


@pytest.mark.parametrize(
    ("question", "row"),
    [
        ("What is the capex of 3M?", "purchases of property plant equipment"),
        ("Return on assets?", "total assets"),
        ("How large is PP&E?", "property plant and equipment net"),
        ("What is the DPO?", "accounts payable"),
        ("Where is the headquarters?", "principal executive offices"),
        ("Statement of financial position", "balance sheet"),
        ("the balance sheet", "statement of financial position"),
        ("Does the P&L show a loss?", "statements of income"),
    ],
)
def test_the_finance_pack_knows_how_reports_word_it(question: str, row: str):
    assert row in added(question, *shipped_packs())


def test_a_question_of_another_field_adds_nothing():
    assert added("Which gene is expressed in the ring stage?", *shipped_packs()) == []


def test_every_phrase_of_the_finance_pack_can_be_asked():
    (finance,) = shipped_packs()
    for rule in finance.rules:
        for ask in rule.ask:
            own = {row_stems(phrase.text) for phrase in expand(clean(ask), [finance]).phrases}
            assert own.issuperset(map(row_stems, rule.rows)), ask
            assert words(ask)


GOOD: dict[str, Any] = {
    "name": "law", "title": "Law", "version": 1, "rules": [{"ask": ["suit"], "rows": ["claim"]}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rules": []}, "rules: Tuple should have at least 1 item"),
        ({"rules": [{"ask": ["suit"], "rows": ["of the"]}]}, "holds no word to search for"),
        ({"rules": [{"ask": ["&"], "rows": ["claim"]}]}, "'&' holds no word"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"version": 2}, "version: Input should be 1"),
        ({"name": "other"}, 'Its name is "other" and its file is "law.json".'),
    ],
)
def test_a_faulty_pack_is_refused_with_its_place(tmp_path: Path, change: Any, told: str):
    file = tmp_path / "law.json"
    file.write_text(json.dumps(GOOD | change), encoding="utf-8")
    with pytest.raises(UserError, match='The pack "law.json" cannot be used.') as caught:
        load_pack(file)
    assert told in caught.value.detail


def test_a_pack_that_is_no_json_or_absent_is_refused(tmp_path: Path):
    file = tmp_path / "law.json"
    with pytest.raises(UserError, match="No such file"):
        load_pack(file)
    file.write_bytes(b"{\xff")
    with pytest.raises(UserError, match="the file: Invalid JSON"):
        load_pack(file)
    file.write_text(json.dumps(GOOD), encoding="utf-8")
    assert load_pack(file).title == "Law"
