"""Time is that of measured jobs where there are any, else a rough figure that says so."""

import json
from pathlib import Path

import pytest

from desktop.jobs.rates import Wanted, estimate, measured_jobs
from finetune.plan import Compute
from tests.finetune.tiny_models import tiny_model

CARD = Compute("cuda", 2)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny.gguf")


def _job(jobs: Path, name: str, base: Path, sha256: str, tokens: int, seconds: float) -> Path:
    folder = jobs / name
    (folder / "artefacts").mkdir(parents=True)
    spec = {"base": {"path": str(base), "sha256": sha256}, "tune": {"base": "blocks", "rank": 16}}
    (folder / "spec.json").write_text(json.dumps(spec))
    train = {"tokens": tokens, "seconds": seconds}
    (folder / "artefacts" / "train.json").write_text(json.dumps(train))
    result = {"seconds": {"render": 2.0, "train": seconds, "prove": 18.0}}
    (folder / "artefacts" / "result.json").write_text(json.dumps(result))
    return folder


def _wanted(sha256: str = "a", weights: int = 76_224, tokens: int | None = 9000) -> Wanted:
    return Wanted(sha256, "blocks", 16, weights, tokens)


def test_the_newest_run_of_the_same_kind_gives_the_time(tmp_path: Path, base: Path) -> None:
    jobs = tmp_path / "jobs"
    _job(jobs, "1-old", base, "a", 1000, 100.0)
    _job(jobs, "2-new", base, "a", 1000, 10.0)
    _job(jobs, "3-other", base, "b", 1000, 1.0)
    found = estimate(jobs, _wanted(), CARD)
    assert found.seconds == 9000 / 100 + 20
    assert found.why.startswith("The time is that of an earlier run with this model")


def test_another_models_run_is_scaled_by_the_weights(tmp_path: Path, base: Path) -> None:
    jobs = tmp_path / "jobs"
    _job(jobs, "1", base, "b", 1000, 10.0)
    (measured,) = measured_jobs(jobs)
    found = estimate(jobs, _wanted(weights=10 * measured.weights), CARD)
    assert found.seconds == pytest.approx(9000 / 10 + 200)
    assert "half or twice" in found.why


def test_on_a_card_without_a_measured_run_the_time_is_unknown(tmp_path: Path) -> None:
    found = estimate(tmp_path, _wanted(), CARD)
    assert (found.seconds, found.why) == (
        None, "How long it takes is known after the first steps."
    )  # fmt: skip


def test_on_the_processor_a_short_test_gives_a_rough_time(tmp_path: Path) -> None:
    small = estimate(tmp_path, _wanted(weights=10**8), Compute()).seconds
    large = estimate(tmp_path, _wanted(weights=10**10), Compute()).seconds
    assert small is not None
    assert large is not None
    assert 0 < small < large
    assert "rough estimate" in estimate(tmp_path, _wanted(weights=10**8), Compute()).why


def test_a_run_that_is_fitted_into_a_time_trains_so_long(tmp_path: Path, base: Path) -> None:
    _job(tmp_path, "1", base, "a", 1000, 10.0)
    wanted = Wanted("a", "blocks", 16, 76_224, None, max_seconds=240.0)
    assert estimate(tmp_path, wanted, CARD).seconds == 260.0


def test_without_data_the_time_is_unknown(tmp_path: Path) -> None:
    assert estimate(tmp_path, _wanted(tokens=None), Compute()).seconds is None


@pytest.mark.parametrize("name", ["spec.json", "artefacts/train.json", "artefacts/result.json"])
def test_a_damaged_or_unfinished_job_measures_nothing(
    tmp_path: Path, base: Path, name: str
) -> None:
    jobs = tmp_path / "jobs"
    folder = _job(jobs, "1", base, "a", 1000, 10.0)
    (folder / name).write_text("{")
    assert list(measured_jobs(jobs)) == []
    (folder / name).unlink()
    assert list(measured_jobs(jobs)) == []
