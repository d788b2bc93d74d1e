"""A job goes on with the very base that it began with; otherwise the difference is named."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from converters.errors import Stopped, UserError
from converters.gguf.tensor_types import TensorType
from desktop.core.paths import Home
from desktop.engine.builtin import BuiltinStore, Card
from desktop.jobs.base_check import check_base
from desktop.jobs.folder import create_job
from desktop.jobs.spec import TuneJob
from desktop.jobs.work import Work
from desktop.serving.builtin_engine import BuiltinEngine
from finetune.spec import TuneSpec
from tests.finetune.tiny_models import tiny_model

CARD = Card(template="{{ messages[0].content }}")


@pytest.fixture
def home(tmp_path) -> Home:
    home = Home(tmp_path / "home")
    gguf = tiny_model(tmp_path / "tiny.gguf", TensorType.Q8_0)
    BuiltinStore(home.models).add(gguf, "base", CARD)
    return home


@contextmanager
def _work(home, should_stop=lambda: False) -> Iterator[Work]:
    engine = BuiltinEngine(home)
    base = asyncio.run(engine.base_file("base"))
    job = TuneJob(
        tune=TuneSpec(model="base", data=home.root / "d.jsonl", name="n"), engine="builtin",
        host="", version="1", home=home.root, base=base,
    )
    folder = create_job(home.jobs, "n", job)
    with Work(folder, lambda _: None, should_stop) as work:
        yield work


def test_the_same_base_is_accepted(home):
    with _work(home) as work:
        check_base(work)


def test_f19_a_flipped_bit_names_the_very_file_and_that_a_pull_does_not_repair_it(home):
    with _work(home) as work:
        path = work.job.base.path
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.unlink()  # it may be a hard link
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            check_base(work)
    assert caught.value.title == "The file of 'base' is damaged."
    assert caught.value.detail.startswith(f"{path} should have the SHA-256 {work.job.base.sha256};")
    assert "A pull alone does not repair it" in caught.value.hint


def test_another_model_under_the_name_is_refused_with_both_files_named(home, tmp_path):
    with _work(home) as work:
        other = tiny_model(tmp_path / "other.gguf", TensorType.Q4_0)
        BuiltinStore(home.models).add(other, "base", CARD, replace=True)
        with pytest.raises(UserError) as caught:
            check_base(work)
    assert caught.value.title == "'base' is another model than when the job began."
    assert work.job.base.sha256[:12] in caught.value.detail


def test_a_base_that_is_gone_is_said(home):
    with _work(home) as work:
        shutil.rmtree(home.models)
        with pytest.raises(UserError) as caught:
            check_base(work)
    assert "base" in caught.value.title


def test_the_check_can_be_stopped(home):
    with _work(home, lambda: True) as work, pytest.raises(Stopped):
        check_base(work)
