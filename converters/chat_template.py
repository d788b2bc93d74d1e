"""A model's Jinja chat template rendered as transformers renders it, in an immutable sandbox.

A template is a stranger's program (threat T4): the sandbox keeps it from the process, not from
the processor. Render one that is not ours in a child with a time limit (desktop/engine).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from converters.errors import UserError

Message = Mapping[str, Any]

# The day that Llama 3's templates themselves fall back to: rows rendered on two days are equal.
FIXED_DAY = datetime(2024, 7, 26)

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' "
    "+ message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_LARGEST_TEXT = 16 * 2**20
_FAULTS = (
    TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError,
    RecursionError, MemoryError,
)  # fmt: skip


class Refusal(TemplateError):
    """The template itself refused the conversation (`raise_exception`)."""


def render(
    template: str,
    messages: Sequence[Message],
    *,
    bos: str = "",
    eos: str = "",
    add_generation_prompt: bool = False,
    tools: Sequence[Mapping[str, Any]] | None = None,
    enable_thinking: bool = False,
    now: datetime = FIXED_DAY,
) -> str:
    """The prompt text of `messages` (role, content, ...), special tokens included.

    bos and eos are the texts of those tokens, "" where the vocabulary has none. now is the day
    that a template may print. Raises UserError when the template is broken, refuses the
    conversation, tries what the sandbox forbids or writes more than 16 MiB.
    """
    try:
        pieces = _compiled(template).generate(
            messages=[dict(message) for message in messages],
            tools=None if tools is None else [dict(tool) for tool in tools],
            documents=None,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=enable_thinking,
            bos_token=bos,
            eos_token=eos,
            strftime_now=now.strftime,
        )
        return _joined(pieces)
    except Refusal as refusal:
        raise UserError(
            "The chat template refuses this conversation",
            str(refusal.message),
            "Change the roles or the order of the messages.",
        ) from refusal
    except _FAULTS as error:
        raise _unusable(f"{type(error).__name__}: {error}") from error


def _joined(pieces: Any) -> str:
    text: list[str] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > _LARGEST_TEXT:
            raise _unusable("It writes more than 16 MiB of text.")
        text.append(piece)
    return "".join(text)


def _unusable(reason: str) -> UserError:
    return UserError(
        "The chat template could not be used",
        reason,
        "Choose another template or another model.",
    )


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["namespace"] = _Namespace
    return environment.from_string(template)


def _refuse(message: str) -> None:
    raise Refusal(str(message))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes HTML characters; transformers' and ours do not."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


class _Namespace(Namespace):
    """Jinja's `namespace`, without names that reach Python's internals."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # noqa: N805 - `namespace(self=1)` is valid
        values = dict(*args[1:], **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(args[0], values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a template must not set {name}")


class _Generation(Extension):
    """`{% generation %}` marks what an assistant wrote; rendered, it is just its content."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)
