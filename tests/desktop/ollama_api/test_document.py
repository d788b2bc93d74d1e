import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from converters.modelfile import NotExpressible, parse_modelfile, render_modelfile
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.document import as_modelfile
from desktop.ollama_api.inherit import Inheritance, inherit
from tests.servers.private_ollama import find_ollama, with_model


def test_the_document_has_every_instruction_in_order(inheritance: Inheritance):
    text = render_modelfile(as_modelfile(inheritance, "base"))
    assert text == (
        "FROM base\n"
        'TEMPLATE "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}assistant: "\n'
        "SYSTEM Be brief.\n"
        "PARAMETER temperature 0.5\n"
        "PARAMETER num_ctx 2048\n"
        "PARAMETER stop user:\n"
        'LICENSE "Apache-2.0\nall of it"\n'
    )
    assert parse_modelfile(text) == as_modelfile(inheritance, "base")


def test_a_system_text_that_would_change_is_refused(inheritance: Inheritance):
    odd = replace(inheritance, system="a\u200db")
    with pytest.raises(NotExpressible, match="The SYSTEM of this model"):
        render_modelfile(as_modelfile(odd, "base"))


@pytest.mark.ollama
def test_a_real_model_made_of_its_own_document_is_the_same(
    ollama_server, smollm2, tmp_path: Path, run_async
):
    """The round trip: model -> Modelfile -> `ollama create` -> the same inheritance."""
    with_model(
        ollama_server, smollm2, "document-base", system='  "Quoted" \n\n text ', license=["L\n1"],
        parameters={"stop": ["\n\n", "<|im_end|>"], "temperature": 0.25, "use_mmap": False},
        messages=[{"role": "user", "content": "a: b"}, {"role": "assistant", "content": "c"}],
    )  # fmt: skip

    async def read(name: str) -> Inheritance:
        async with OllamaClient(ollama_server.url) as client:
            return await inherit(client, name)

    base = run_async(read("document-base"))
    path = tmp_path / "Modelfile"
    path.write_bytes(render_modelfile(as_modelfile(base, "document-base")).encode())
    program = find_ollama()
    assert program is not None
    subprocess.run(
        [program, "create", "document-again", "-f", path], check=True, capture_output=True,
        timeout=60, env={"HOME": str(tmp_path), "OLLAMA_HOST": ollama_server.url},
    )  # fmt: skip
    again = run_async(read("document-again"))
    # A licence of the base is kept and the document's one added (create from a name).
    assert replace(again, model=base.model, license=base.license) == base
