"""What every step works with: here a base whose template takes no system message."""

import pytest

from converters.errors import UserError
from desktop.core.catalog import file_sha256
from desktop.core.paths import Home
from desktop.engine.builtin import BuiltinStore, Card
from desktop.jobs.folder import create_job
from desktop.jobs.spec import BaseFile, TuneJob
from desktop.jobs.work import REFUSED, Work
from finetune.spec import TuneSpec

STRICT = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system message') }}{% endif %}"
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] "
)


@pytest.fixture
def work(tmp_path, smollm2):
    """A job on the built-in engine; its base has a strict template."""
    home = Home(tmp_path)
    BuiltinStore(home.models).add(smollm2, "strict", Card(template=STRICT))
    base = BaseFile(
        model="strict", path=smollm2, sha256=file_sha256(smollm2), digest="0" * 64,
        architecture="llama", n_bytes=smollm2.stat().st_size,
    )
    job = TuneJob(
        tune=TuneSpec(model="strict", data=tmp_path / "d.jsonl", name="n"), engine="builtin",
        host="", version="1", home=tmp_path, base=base,
    )
    folder = create_job(home.jobs, "n", job)
    with Work(folder, lambda _: None, lambda: False) as opened:
        yield opened


def test_a_conversation_that_the_template_refuses_is_stored_as_refused(work):
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert work.render_or_refusal("strict", messages) == REFUSED
    assert work.render_or_refusal("strict", messages[1:]) == "[user] u\n[assistant] "


def test_a_training_row_that_the_template_refuses_is_an_explained_error(work):
    with pytest.raises(UserError):
        work.render([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])


def test_the_wall_time_of_steps_adds_up_by_name(work):
    for _ in range(2):
        with work.timed("export"):
            pass
    assert work.seconds.keys() == {"export"}
