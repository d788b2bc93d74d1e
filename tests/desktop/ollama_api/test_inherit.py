import json

import pytest

from converters.errors import UserError
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.inherit import (
    Inheritance,
    create_fields,
    from_json,
    inherit,
    inheritance_of,
    read_parameters,
)
from desktop.ollama_api.replies import read_show
from tests.servers.private_ollama import with_model

JINJA = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
GO = "{{ range .Messages }}{{ .Content }}{{ end }}"


def _show(template: str, modelfile_template: str | None = None, more: str = "", **fields: object):
    text = modelfile_template if modelfile_template is not None else template
    modelfile = f'# a comment\nFROM /store/blobs/sha256-{"0" * 64}\nTEMPLATE """{text}"""\n{more}'
    return read_show("base", {"modelfile": modelfile, "template": template, **fields})


def test_a_go_template_is_inherited():
    found = inheritance_of(_show(GO))
    assert (found.kind, found.template, found.jinja) == ("go", GO, "")


def test_guard_1_a_jinja_text_is_never_taken_for_a_go_template():
    found = inheritance_of(_show(JINJA, "{{ .Prompt }}"))
    assert (found.kind, found.template, found.jinja) == ("jinja", "", JINJA)
    # Also when a Go template is stored but loses to the Jinja, and when the Jinja has no {%.
    assert inheritance_of(_show("{{ bos_token }}{{ messages[0] }}", GO)).kind == "jinja"


def test_guard_2_the_prompt_template_means_none():
    found = inheritance_of(_show("{{ .Prompt }}"))
    assert (found.kind, found.template) == ("none", "")


def test_guard_3_a_renderer_wins_and_stands_in_the_modelfile_only():
    found = inheritance_of(_show(GO, more="RENDERER qwen3-coder\nPARSER qwen3-coder\n"))
    assert (found.kind, found.renderer, found.parser) == ("renderer", "qwen3-coder", "qwen3-coder")


def test_the_parameter_table_is_read_as_go_prints_it():
    text = "\n".join([
        'stop                           "<|im_end|>"',
        'stop                           "a\\"b\\\\c\\n\\u200b\\x00"',
        "temperature                    0.2",
        "num_ctx                        8192",
        "seed                           3e+09",
        "use_mmap                       true",
        "top_p                          1",
        "typical_p                      0.7",
        "mirostat                       0",
    ])  # fmt: skip
    parameters, stops, dropped = read_parameters(text)
    assert parameters == {
        "num_ctx": 8192, "seed": 3_000_000_000, "temperature": 0.2, "top_p": 1, "use_mmap": True,
    }  # fmt: skip
    assert isinstance(parameters["num_ctx"], int)
    assert stops == ("<|im_end|>", 'a"b\\c\n\u200b\0')
    assert dropped == ("mirostat", "typical_p")


def test_num_ctx_repeat_penalty_and_stops_are_always_written():
    fields = create_fields(Inheritance("base", "none"), "T", 8192)
    assert fields["parameters"] == {"num_ctx": 4096, "repeat_penalty": 1.0, "stop": []}
    assert fields["license"] == []
    assert fields["template"] == "T"
    small = create_fields(Inheritance("base", "none"), None, 2048)
    assert small["parameters"]["num_ctx"] == 2048
    assert "template" not in small
    own = Inheritance("b", "go", parameters={"num_ctx": 512, "repeat_penalty": 1.3}, stops=("x",))
    assert create_fields(own, "T", 8192)["parameters"] == {
        "num_ctx": 512, "repeat_penalty": 1.3, "stop": ["x"],
    }  # fmt: skip


def test_the_end_of_turn_is_added_once(inheritance: Inheritance):
    more = inheritance.with_stop("<end>").with_stop("<end>").with_stop("")
    assert more.stops == ("user:", "<end>")


def test_publish_json_reads_back_equal_and_refuses_unknown_fields(inheritance: Inheritance):
    written = json.loads(json.dumps(inheritance.as_json()))
    assert from_json(written) == inheritance
    with pytest.raises(UserError, match="unknown fields: colour"):
        from_json({**written, "colour": 1})


def test_several_licences_stay_apart():
    found = inheritance_of(_show(GO, more='LICENSE """A\nb"""\nLICENSE C\n', license="A\nb\nC"))
    assert found.license == ("A\nb", "C")
    odd = inheritance_of(_show(GO, more="LICENSE A\n", license="A\u200bB"))
    assert odd.license == ("A\u200bB",)


@pytest.mark.ollama
def test_everything_is_inherited_from_a_real_model(ollama_server, smollm2, run_async):
    with_model(
        ollama_server, smollm2, "inherit-test", template=GO, system='Say "hi".\n\u200bEnd',
        license=["One\ntwo", "Three"], messages=[{"role": "user", "content": "a: b"}],
        parameters={"stop": ["<x>", "\n\n"], "temperature": 0.7, "seed": 3_000_000_000},
    )  # fmt: skip

    async def check() -> Inheritance:
        async with OllamaClient(ollama_server.url) as client:
            found = await inherit(client, "inherit-test")
            await client.delete("inherit-test")
            return found

    assert run_async(check()) == Inheritance(
        model="inherit-test",
        kind="go",
        template=GO,
        system='Say "hi".\n\u200bEnd',
        parameters={"seed": 3_000_000_000, "temperature": 0.7},
        stops=("<x>", "\n\n"),
        license=("One\ntwo", "Three"),
        messages=({"role": "user", "content": "a: b"},),
    )
