"""Compare what Ollama stored with what it was sent. Pure: show's answer in, sentences out.

The API accepts unknown parameters silently and adds what it guesses, so only reading back tells
(FACTS 3.1, 3.3).
"""

from collections.abc import Mapping
from typing import Any

from desktop.ollama_api.inherit import Inheritance, inheritance_of, read_parameters
from desktop.ollama_api.replies import Show
from desktop.ollama_api.templates import TemplatePlan
from desktop.ollama_api.versions import NEWEST, Behaviour

SHOWN_CHARACTERS = 200


def differences(
    shown: Show, sha256: str, sent: Mapping[str, Any], inheritance: Inheritance,
    plan: TemplatePlan, server: Behaviour = NEWEST,
) -> list[str]:  # fmt: skip
    """What the created model has otherwise than it was sent, one sentence each; [] if nothing.

    sha256: of the GGUF. sent: the fields of /api/create.
    """
    parameters, stops, dropped = read_parameters(shown.parameters, server)
    wanted = {key: value for key, value in sent["parameters"].items() if key != "stop"}
    found = inheritance_of(shown, server)
    pairs: list[tuple[str, object, object]] = [
        ("model file", _file_of(shown, sha256), sha256),
        ("template", *_templates(found, inheritance, plan)),
        ("stop texts", stops, tuple(sent["parameters"]["stop"])),
        ("parameters", parameters | dict.fromkeys(dropped), wanted),
        ("system text", shown.system, inheritance.system),
        ("renderer", found.renderer, inheritance.renderer),
        ("parser", found.parser, inheritance.parser),
        ("licence", shown.license, "\n".join(inheritance.license)),
        ("example messages", _turns(shown.messages), _turns(inheritance.messages)),
    ]
    return [
        f"The {what} is {_short(got)} instead of {_short(wanted)}."
        for what, got, wanted in pairs
        if got != wanted
    ]


def _templates(
    found: Inheritance, inheritance: Inheritance, plan: TemplatePlan
) -> tuple[str, str]:
    """(the template in use, the one that should be)."""
    in_use = found.template or found.jinja
    if plan.jinja is not None:
        # A file of somebody else may carry it without our comment and still be taken as it is.
        return in_use, inheritance.jinja if in_use == inheritance.jinja else plan.jinja
    if inheritance.kind == "renderer" and plan.template is None:
        # The renderer wins over whatever the server guesses below it.
        return "", ""
    return in_use, plan.template or ""


def _file_of(shown: Show, sha256: str) -> str:
    return sha256 if f"sha256-{sha256}" in shown.modelfile else "another one"


def _turns(messages: tuple[Mapping[str, Any], ...]) -> list[tuple[str, str]]:
    return [(str(m.get("role", "")), str(m.get("content", ""))) for m in messages]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
