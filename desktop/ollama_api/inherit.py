"""What a tuned model takes over from the model it was made of, read from `/api/show`.

Only what show really tells: `{{ .Prompt }}` means "no template" and a Jinja text is never taken
for a Go template (guards of FACTS 3.3). Knows no files and no jobs.
"""

import ast
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from converters.errors import UserError
from converters.modelfile import Modelfile, parse_modelfile
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.replies import Show
from desktop.ollama_api.versions import NEWEST, Behaviour

NO_TEMPLATE = "{{ .Prompt }}"
DEFAULT_NUM_CTX = 4096

TemplateKind = Literal["go", "jinja", "renderer", "none"]
"""Who renders the base's conversations: its Go template, the GGUF's own Jinja, a renderer built
into Ollama, or nobody (then 0.30 and later fall back to ChatML, and older servers to the last
message of the user alone)."""


@dataclass(frozen=True)
class Inheritance:
    """Everything a new model inherits; `as_json` is the content of `publish.json`.

    template: the Go text, jinja: the GGUF's own; the one that is not in use is "". parameters:
    without `stop`, which stands in stops. dropped: parameters that the server refuses or ignores.
    """

    model: str
    kind: TemplateKind
    template: str = ""
    jinja: str = ""
    renderer: str = ""
    parser: str = ""
    system: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stops: tuple[str, ...] = ()
    license: tuple[str, ...] = ()
    messages: tuple[Mapping[str, Any], ...] = ()
    requires: str = ""
    dropped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Lists of JSON become tuples, so that a value read back equals the one written.
        for name in ("stops", "license", "messages", "dropped"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def as_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `from_json` reads it back."""
        return json.loads(json.dumps(asdict(self)))

    def with_stop(self, text: str) -> "Inheritance":
        """The same with one more stop text (the end of turn), if it is not there yet."""
        if not text or text in self.stops:
            return self
        return replace(self, stops=(*self.stops, text))

    def with_template(self, template: str) -> "Inheritance":
        """The same, rendered by this Go template (for a base without any)."""
        return replace(self, kind="go", template=template)


def from_json(value: Mapping[str, Any]) -> Inheritance:
    """Read `as_json` back. Raises `UserError` on fields that are not ours."""
    known = {each.name for each in fields(Inheritance)}
    if unknown := sorted(set(value) - known):
        raise UserError(
            "The publish file is from another version of Tunedesk.",
            f"It has unknown fields: {', '.join(unknown)}.",
            "Update Tunedesk.",
        )
    return Inheritance(**value)


async def inherit(client: OllamaClient, name: str, server: Behaviour = NEWEST) -> Inheritance:
    """What a model made from `name` inherits on `server`. Raises `ModelNotFound`."""
    return inheritance_of(await client.show(name), server)


def inheritance_of(show: Show, server: Behaviour = NEWEST) -> Inheritance:
    """The pure part of `inherit`."""
    modelfile = parse_modelfile(show.modelfile)
    template, jinja = _templates(show)
    renderer = modelfile.first("renderer")
    parameters, stops, dropped = read_parameters(show.parameters, server)
    return Inheritance(
        model=show.name,
        kind=_kind(template, jinja, renderer),
        template=template,
        jinja=jinja,
        renderer=renderer,
        parser=modelfile.first("parser"),
        system=show.system,
        parameters=parameters,
        stops=stops,
        license=_licenses(modelfile, show.license),
        messages=show.messages,
        requires=show.requires,
        dropped=dropped,
    )


def create_fields(
    inheritance: Inheritance, template: str | None, context_length: int
) -> dict[str, Any]:
    """The fields of /api/create that make a model behave as its base; pure.

    num_ctx, repeat_penalty and stop are always there: a model that leaves them to the server
    behaves differently on another machine or version (the penalty is 1.1 below 0.30, while training
    and proofs know none). template: of `templates.template_plan`.
    context_length: the GGUF's, in tokens, 0 if unknown.
    """
    parameters = dict(inheritance.parameters)
    parameters.setdefault("num_ctx", min(DEFAULT_NUM_CTX, context_length or DEFAULT_NUM_CTX))
    parameters.setdefault("repeat_penalty", 1.0)
    parameters["stop"] = list(inheritance.stops)
    sent: dict[str, Any] = {"parameters": parameters, "license": list(inheritance.license)}
    optional = {
        "template": template,
        "system": inheritance.system,
        "renderer": inheritance.renderer,
        "parser": inheritance.parser,
        "requires": inheritance.requires,
        "messages": [dict(message) for message in inheritance.messages],
    }
    return sent | {key: value for key, value in optional.items() if value}


def read_parameters(
    text: str, server: Behaviour = NEWEST
) -> tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]:
    """Read show's parameter table: (parameters without stop, stops, dropped names).

    Each line is a name, spaces and a Go literal (`%#v`): a quoted string, a number or a boolean.
    """
    parameters: dict[str, Any] = {}
    stops: list[str] = []
    dropped: list[str] = []
    for line in filter(str.strip, text.splitlines()):
        name, _, literal = line.partition(" ")
        value = _go_literal(literal.strip())
        if name == "stop":
            stops.append(str(value))
        elif name in server.dropped_parameters:
            dropped.append(name)
        else:
            parameters[name] = value
    return dict(sorted(parameters.items())), tuple(stops), tuple(sorted(dropped))


def _templates(show: Show) -> tuple[str, str]:
    """(Go template, Jinja), each "" if it is not the one in use.

    show's `template` is the one in use; its `modelfile` prints the Go template in any case. So a
    text that the Modelfile does not hold is the GGUF's Jinja (server/routes.go,
    selectedModelTemplate).
    """
    if show.template.strip() in ("", NO_TEMPLATE):
        return "", ""
    in_modelfile = show.template in show.modelfile
    return (show.template, "") if in_modelfile else ("", show.template)


def _kind(template: str, jinja: str, renderer: str) -> TemplateKind:
    if renderer:
        return "renderer"
    if template:
        return "go"
    return "jinja" if jinja else "none"


def _licenses(modelfile: Modelfile, joined: str) -> tuple[str, ...]:
    # show joins the licences by a newline; the Modelfile has them apart, but drops characters.
    apart = modelfile.all("license")
    if "\n".join(apart) == joined:
        return tuple(apart)
    return (joined,) if joined else ()


def _go_literal(text: str) -> Any:
    if text.startswith('"'):
        return _go_string(text)
    if text in ("true", "false"):
        return text == "true"
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _go_string(text: str) -> str:
    # Go's quoting is Python's but for \u0000-style escapes of bytes, which both spell \x..
    return str(ast.literal_eval(text))
