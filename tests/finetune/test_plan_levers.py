"""When a run does not fit: the largest lever that suffices comes first, with its figures."""

from pathlib import Path
from typing import Any

from converters.gguf.header import read_header
from finetune.data.segments import TokenRow
from finetune.plan import Compute, plan_for
from finetune.plan_levers import Situation, levers
from finetune.spec import parse

MB = 1_000_000


def _spec(**values: Any) -> Any:
    return parse({"model": "m", "data": "rows.jsonl", "name": "n", **values})


def _situation(smollm2: Path, available: int, rows: Any = None, **values: Any) -> Situation:
    header = read_header(smollm2)
    return Situation(header, _spec(**values), Compute(), rows, available)


def _rows(*lengths: int) -> list[TokenRow]:
    return [TokenRow((1,) * n, (False,) * (n - 4) + (True,) * 4, str(n), n) for n in lengths]


def test_the_mildest_setting_that_fits_is_named_with_its_option(smollm2: Path) -> None:
    short = _rows(*[100] * 30)
    room = _situation(smollm2, 0, short, tokens_per_step=1000).total()
    found = levers(_situation(smollm2, room, short, tokens_per_step=2048))
    smaller = next(lever for lever in found if lever.text.startswith("Train "))
    assert smaller.text == (
        "Train 1,000 tokens at a time instead of 2,000 (--tokens-per-step 1000), which makes the "
        "batch smaller too"
    )
    assert smaller.suffices
    assert smaller.total_bytes == room


def test_a_lever_is_what_the_changed_settings_really_need(smollm2: Path) -> None:
    of = _situation(smollm2, 2_300 * MB, None, max_tokens=2048)
    first = levers(of)[0]
    assert "(--max-tokens 1024 --tokens-per-step 1024)" in first.text
    changed = _spec(max_tokens=1024, tokens_per_step=1024)
    assert first.total_bytes == plan_for(of.header, changed).total_bytes


def test_the_largest_lever_that_suffices_comes_before_larger_ones_that_do_not(
    smollm2: Path,
) -> None:
    # At rank 1,024 nearly everything is the adapter's: shorter rows save less than it takes.
    settings = {"rank": 1024, "max_tokens": 512, "tokens_per_step": 512}
    room = _situation(smollm2, 0, **settings).total(rank=256)
    found = levers(_situation(smollm2, room, **settings))
    assert found[0].text == "Lower the adapter's rank to 256 (--rank 256)"
    assert [lever.suffices for lever in found] == sorted(
        (lever.suffices for lever in found), reverse=True
    )


def test_cut_rows_are_counted(smollm2: Path) -> None:
    rows = _rows(2000, 1900, 100, 50)
    found = levers(_situation(smollm2, 1_900 * MB, rows, max_tokens=2048))
    texts = [lever.text for lever in found]
    assert any("cuts 2 of 4 rows" in text for text in texts)


def test_dense_weights_can_go_back_to_blocks(smollm2: Path) -> None:
    found = levers(_situation(smollm2, 1_000 * MB, None, base="f32"))
    assert "Keep the base in its own blocks (--base blocks)" in [lever.text for lever in found]


def test_nothing_suffices_where_the_program_alone_is_too_large(smollm2: Path) -> None:
    found = levers(_situation(smollm2, 500 * MB))
    assert found
    assert not any(lever.suffices for lever in found)


def test_recomputing_is_offered_with_what_it_saves_and_not_twice(smollm2: Path) -> None:
    of = _situation(smollm2, 0, _rows(*[500] * 8), tokens_per_step=2000)
    offered = [lever for lever in levers(of) if "(--recompute)" in lever.text]
    assert len(offered) == 1
    assert offered[0].total_bytes == of.total(recompute=True) < of.total() * 0.6
    again = _situation(smollm2, 0, _rows(*[500] * 8), tokens_per_step=2000, recompute=True)
    assert not [lever for lever in levers(again) if "(--recompute)" in lever.text]
