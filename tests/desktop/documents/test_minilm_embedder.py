"""The extra's model: real vectors where it is installed, and words for what is wrong with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import UserError
from desktop.documents import minilm_embedder
from desktop.documents.minilm_embedder import MinilmEmbedder, is_installed


@pytest.mark.skipif(not is_installed(), reason="the extra `meaning` is not installed")
def test_texts_of_one_meaning_are_nearer_than_others(run_async: Any):
    embedder = MinilmEmbedder.open()
    texts = ["The doctor examines sick patients.", "The ship sails to the harbour."] * 3
    vectors = run_async(embedder.passages(texts))
    assert vectors.shape == (6, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    (question,) = run_async(embedder.questions(["Who treats people in a hospital?"]))
    near, far = vectors[:2] @ question
    assert near > far + 0.2
    # A text's vector does not depend on its neighbours in a batch, but for the 8 bits.
    assert vectors[0] @ run_async(embedder.passages(texts[:1]))[0] > 0.99
    assert run_async(embedder.passages([])).shape == (0, 0)


def test_a_model_that_is_not_the_checked_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "changed_minilm"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "model.onnx").write_bytes(b"another model")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(minilm_embedder, "_PACKAGE", "changed_minilm")
    monkeypatch.setattr(minilm_embedder, "_NEEDED", ("changed_minilm",))
    with pytest.raises(UserError) as caught:
        MinilmEmbedder.open()
    assert caught.value.title == "The embedding model is damaged."
    assert str(package / "model.onnx") in caught.value.detail
    (package / "model.onnx").unlink()
    with pytest.raises(UserError, match="could not be read"):
        MinilmEmbedder.open()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(minilm_embedder, "_NEEDED", ("a_package_that_is_not_there",))
    assert not is_installed()
    with pytest.raises(UserError, match="Install tunedesk with the extra"):
        MinilmEmbedder.open()
