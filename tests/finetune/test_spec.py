"""TuneSpec: every problem at once, TOML there and back, the defaults of DESIGN 6."""

from pathlib import Path

import pytest

from converters.errors import UserError
from finetune import spec
from finetune.spec import TuneSpec

ASKED = {"model": "smollm2:135m", "data": "rows.jsonl", "name": "tickets"}


def test_every_problem_is_reported_at_once() -> None:
    values = {**ASKED, "name": "../x", "rank": 0, "epochs": 2, "max_seconds": 9, "colour": "red",
              "held_out": "rows.jsonl", "keep_general": 0.5}  # fmt: skip
    del values["model"]
    assert spec.validate(values) == [
        "model: is missing",
        "name: `../x` is not a model name (letters, digits and . _ - / : only)",
        "held_out: the same file as data, so nothing would be held out",
        "rank: 0 is not between 1 and 1024",
        "max_seconds: cannot be given together with epochs",
        "keep_general: the guard is not available yet, leave it at 0",
        "colour: unknown key",
    ]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("rank", 5000, "5000 is not between 1 and 1024"),
        ("rank", "many", '"many" is not a whole number between 1 and 1024'),
        ("rank", 1.5, "1.5 is not a whole number between 1 and 1024"),
        ("alpha", -1, "-1 is not above 0 and at most 4096"),
        ("learning_rate", "fast", '"fast" is not a number above 0 and at most 1'),
        ("max_seconds", 0, "0 is not above 0"),
        ("seed", -1, "-1 is not between 0 and 4294967295"),
        ("task", "poems", '"poems" is not one of auto, labels, json, text'),
        ("replace", "perhaps", '"perhaps" is not true or false'),
        ("model", "", "is empty"),
        ("model", 3, "3 is not a text"),
        ("columns", "prompt", '"prompt" is not a table of columns'),
        ("data", ["a"], "a list is not a text"),
        ("name", "x" * 200 + "!", f"`{'x' * 200}!` is not a model name (letters, digits and "
                                  ". _ - / : only)"),
    ],
)  # fmt: skip
def test_a_problem_names_the_value_and_what_is_allowed(
    field: str, value: object, problem: str
) -> None:
    assert spec.validate({**ASKED, field: value}) == [f"{field}: {problem}"]


def test_an_unknown_column_is_named() -> None:
    (problem,) = spec.validate({**ASKED, "columns": {"answer": "a"}})
    assert problem.startswith('columns.answer: "answer" is not one of ')


def test_export_types_may_be_written_in_small_letters() -> None:
    asked = [spec.parse({**ASKED, "export_type": name}).export_type
             for name in ("q8_0", "Q6_k", "f16", "AUTO", "Same")]  # fmt: skip
    assert asked == ["Q8_0", "Q6_K", "F16", "auto", "same"]
    (problem,) = spec.validate({**ASKED, "export_type": "q9"})
    assert problem.startswith('export_type: "Q9" is not one of auto, same, Q4_0')


def test_parse_raises_one_error_that_names_all_problems() -> None:
    with pytest.raises(UserError) as caught:
        spec.parse({**ASKED, "rank": 0, "colour": "red"})
    assert caught.value.title == "The specification has 2 problems."
    assert "rank" in caught.value.detail
    assert "colour: unknown key" in caught.value.detail


def test_toml_round_trip_keeps_odd_texts(tmp_path: Path) -> None:
    asked = TuneSpec(
        model="a:b",
        data=tmp_path / "rows.csv",
        name="x",
        columns={"prompt": 'the "mail"\t\\', "completion": "ü\n"},
        epochs=1.5,
        replace=True,
    )
    spec.write_toml(tmp_path / "spec.toml", asked)
    assert spec.read_toml(tmp_path / "spec.toml") == asked


def test_paths_in_a_specification_count_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('model = "m"\ndata = "d.jsonl"\nname = "n"\n')
    assert spec.read_toml(tmp_path / "s.toml").data == tmp_path / "d.jsonl"


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("model = ")
    with pytest.raises(UserError, match=r"The specification is not TOML\. s\.toml"):
        spec.read_toml(tmp_path / "s.toml")
    with pytest.raises(UserError, match="could not be read"):
        spec.read_toml(tmp_path / "absent.toml")


def test_dropout_patience_and_checkpoints_have_ranges_and_reach_the_training() -> None:
    bad = {**ASKED, "dropout": 0.95, "patience": 0, "checkpoint_seconds": 0}
    assert spec.validate(bad) == [
        "dropout: 0.95 is not between 0 and 0.9",
        "patience: 0 is not between 1 and 1000",
        "checkpoint_seconds: 0 is not between 1 and 86400",
    ]
    asked = spec.parse({**ASKED, "dropout": 0.1, "patience": 3, "checkpoint_seconds": 60})
    train = spec.resolve(asked, Path("m.gguf"), parameters=1, rows=1, epoch_tokens=1)
    assert (train.dropout, train.patience, train.checkpoint_seconds) == (0.1, 3, 60)
    plain = spec.resolve(spec.parse(ASKED), Path("m.gguf"), parameters=1, rows=1, epoch_tokens=1)
    assert (plain.dropout, plain.patience, plain.checkpoint_seconds) == (0.0, None, 300.0)


@pytest.mark.parametrize(
    ("steps", "warm_up"), [(75, 7), (150, 10), (1000, 30), (9, 1), (1, 1), (100, 10)]
)
def test_warm_up_is_ten_steps_or_three_percent_within_a_tenth(steps: int, warm_up: int) -> None:
    assert spec.warm_up_steps(steps) == warm_up


def test_defaults_follow_the_size_of_base_and_data() -> None:
    asked = TuneSpec(model="m", data=Path("d.jsonl"), name="n")
    small = spec.resolve(
        asked, Path("m.gguf"), parameters=135_000_000, rows=300, epoch_tokens=33_800
    )  # fmt: skip
    assert (small.learning_rate, small.epochs) == (1e-3, 3.0)
    assert (small.tokens_per_step, small.tokens_per_pass) == (512, 512)
    large = spec.resolve(
        asked, Path("m.gguf"), parameters=8_000_000_000, rows=5_000, epoch_tokens=3_000_000
    )  # fmt: skip
    assert (large.learning_rate, large.epochs) == (2e-4, 1.0)
    assert (large.tokens_per_step, large.tokens_per_pass) == (16_384, 2_048)
    assert spec.default_learning_rate(1_000_000_000) == 5e-4
