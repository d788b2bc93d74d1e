"""The bindings come without the package's Python layer, and a refused file says why."""

import subprocess
import sys
from pathlib import Path

import pytest

from converters.errors import UserError
from converters.llama.library import NativeModel, bindings

_FRESH = """
import sys
from converters.llama.library import bindings
assert bindings().llama_max_devices() >= 1
for name in ("diskcache", "llama_cpp.llama", "llama_cpp", "pickle5"):
    assert name not in sys.modules, name
import llama_cpp
assert llama_cpp.Llama.__name__ == "Llama"  # whoever imports the package later gets all of it
"""


def test_the_bindings_load_without_diskcache() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _FRESH], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_bindings_are_loaded_once() -> None:
    assert bindings() is bindings()


def test_a_refused_file_is_named_with_what_the_library_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model at all")
    with pytest.raises(UserError) as caught:
        NativeModel(broken)
    assert caught.value.title == "The model file could not be used"
    assert str(broken) in caught.value.detail
    assert "magic" in caught.value.detail
    assert capfd.readouterr().err == ""


def test_metadata_is_read_through_the_library(smollm2: Path) -> None:
    with NativeModel(smollm2, vocab_only=True) as model:
        assert model.metadata("general.architecture") == "llama"
        assert model.metadata("no.such.key") == ""
