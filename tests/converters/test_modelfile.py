"""Modelfiles as Ollama reads them; the cases follow ollama's own parser_test.go in kind."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.modelfile import (
    PARAMETERS,
    Command,
    Modelfile,
    ModelfileDamaged,
    NotExpressible,
    parse_modelfile,
    render_modelfile,
)
from tests.servers.private_ollama import call, find_ollama, with_model

GOLDEN = """\
FROM smollm2:135m
TEMPLATE \"\"\"{{ range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}say "hi"
\"\"\"
SYSTEM "Two
lines"
PARAMETER temperature 0.5
PARAMETER stop <|im_end|>
PARAMETER stop "\n"
LICENSE Apache-2.0
MESSAGE user Hi: there
"""


def _commands(text: str) -> list[tuple[str, str]]:
    return [(c.word + (f" {c.label}" if c.label else ""), c.value)
            for c in parse_modelfile(text).commands]  # fmt: skip


def test_words_in_any_case_comments_and_blank_lines():
    text = "\ufeff\n  # note\nfrom  model1 \n\tPaRaMeTeR num_ctx   4096\r\nSystem  a # b\n"
    assert _commands(text) == [
        ("from", "model1"), ("parameter num_ctx", "4096"), ("system", "a # b"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a b  c", "a b  c"),
        ('"a b"', "a b"),
        ('"a\n b"', "a\n b"),
        ('"""\na "b"\n"""', '\na "b"\n'),
        ('""', ""),
        ('"""""" ', ""),
        ('" a "', " a "),
        ("'single'", "'single'"),
        ('"a" b"', 'a" b'),
        ('a "b"', 'a "b"'),
        ("tab\there", "tab\there"),
    ],
)
def test_values_and_their_quotes(written: str, value: str):
    assert _commands(f"FROM x\nSYSTEM {written}\n") == [("from", "x"), ("system", value)]
    assert _commands(f"SYSTEM {written}\nFROM x") == [("system", value), ("from", "x")]


def test_characters_that_go_does_not_print_are_dropped_also_inside_quotes():
    family = "\U0001f468\u200d\U0001f469"
    text = f'FROM x\nSYSTEM "a\u00a0b {family} \u0007c\u200b"\n'
    assert _commands(text)[1] == ("system", "ab \U0001f468\U0001f469 c")


def test_triple_quotes_at_a_lines_end_end_the_value():
    with pytest.raises(ModelfileDamaged, match="Line 3: 'more' is no instruction"):
        parse_modelfile('FROM x\nSYSTEM """a"""\nmore """\n')


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is no FROM line"),
        ("SYSTEM x\n", "there is no FROM line"),
        ("FROM x\nSYSTEM \"open\n", "a quoted value has no end"),
        ("FROM x\nSYSTEM \"\"\"open\"\n", "a quoted value has no end"),
        ("FROM x\nBADCOMMAND y\n", "'badcommand' is no instruction"),
        ("FROM x\nMESSAGE robot hi\n", "system, user or assistant"),
        ("FROM", "not followed by a space"),
        ("FROM x\nPARAMETER num_ctx\n", "not followed by a space"),
        ("FROM x\n{{ .Prompt }}\n", "not followed by a space"),
    ],
)
def test_what_is_no_modelfile_is_refused_with_its_line(text: str, reason: str):
    with pytest.raises(ModelfileDamaged) as caught:
        parse_modelfile(text)
    assert reason in caught.value.detail
    assert caught.value.detail.startswith(f"Line {caught.value.line}: ")


def test_a_modelfile_is_written_as_the_golden_text():
    modelfile = Modelfile((
        Command("from", "smollm2:135m"),
        Command("template", "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>"
                            '\n{{ end }}say "hi"\n'),
        Command("system", "Two\nlines"),
        Command("parameter", "0.5", "temperature"),
        Command("parameter", "<|im_end|>", "stop"),
        Command("parameter", "\n", "stop"),
        Command("license", "Apache-2.0"),
        Command("message", "Hi: there", "user"),
    ))  # fmt: skip
    assert render_modelfile(modelfile) == GOLDEN
    assert parse_modelfile(GOLDEN) == modelfile
    assert modelfile.all("parameter", "stop") == ["<|im_end|>", "\n"]
    assert modelfile.first("system") == "Two\nlines"
    assert modelfile.first("renderer") == ""


@pytest.mark.parametrize(
    "value", ['a"""\nb "', 'a"""\n"', "zero\u200bwidth", "\u00a0", "bell\u0007"]
)
def test_a_value_that_would_change_is_refused_not_written(value: str):
    modelfile = Modelfile((Command("from", "x"), Command("system", value)))
    with pytest.raises(NotExpressible) as caught:
        render_modelfile(modelfile)
    assert "The SYSTEM of this model" in caught.value.title
    assert "needs no Modelfile" in caught.value.hint


_pieces = [*"ab \t\n\r\"'#{}\\", '"""', "FROM ", "\u200b", "\u00e9", "\U0001f600"]
_texts = st.lists(st.sampled_from(_pieces), max_size=24).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["system", "template", "license", "stop"]), _texts)))
def test_what_is_written_reads_back_equal_or_is_refused(values: list[tuple[str, str]]):
    commands = [Command("from", "x")]
    for word, value in values:
        commands.append(
            Command("parameter", value, "stop") if word == "stop" else Command(word, value)
        )
    modelfile = Modelfile(tuple(commands))
    try:
        text = render_modelfile(modelfile)
    except NotExpressible:
        return
    assert parse_modelfile(text) == modelfile


def test_typical_p_is_not_among_the_known_parameters():
    assert "num_ctx" in PARAMETERS
    assert "typical_p" not in PARAMETERS


@pytest.mark.ollama
def test_the_real_program_reads_our_modelfile_as_we_do(ollama_server, smollm2, tmp_path: Path):
    """The oracle: `ollama create -f` of a rendered Modelfile, then /api/show."""
    with_model(ollama_server, smollm2, "modelfile-base")
    values = {
        "system": ' Say "hi" to\n\n "all" # not a comment\n',
        "template": '{{ range .Messages }}{{ .Role }}: "{{ .Content }}"\n{{ end }}',
        "license": 'Line one\n  "two"\n',
    }
    commands = [Command("from", "modelfile-base"), Command("parameter", "\n\n", "stop")]
    commands += [Command("parameter", "user:", "stop"), Command("parameter", "0.5", "temperature")]
    commands += [Command(word, value) for word, value in values.items()]
    path = tmp_path / "Modelfile"
    path.write_bytes(render_modelfile(Modelfile(tuple(commands))).encode())
    program = find_ollama()
    assert program is not None
    done = subprocess.run(
        [program, "create", "modelfile-test", "-f", path],
        env={"HOME": str(tmp_path), "OLLAMA_HOST": ollama_server.url}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = call(ollama_server.url, "/api/show", {"model": "modelfile-test"})
    assert {word: shown[word] for word in values} == values
    assert '"\\n\\n"' in shown["parameters"]
    read = parse_modelfile(shown["modelfile"])
    assert read.all("parameter", "stop") == ["\n\n", "user:"]
    for word, value in values.items():
        assert read.first(word) == value
