"""Models without a Go template on an Ollama below 0.30, which does not read a GGUF's own Jinja.

Such a server gives the model the last message of the user and nothing else, so nothing could be
trained on its renders. Where the file's Jinja is one of the known formats (or there is none:
ChatML), the tuned model gets the Go template of that format, and it is trained on exactly what
that template will render.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import resources
from converters.errors import UserError
from converters.gguf.header import read_header
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.inherit import Inheritance, inherit
from desktop.ollama_api.replies import Message
from desktop.ollama_api.store import model_file
from desktop.ollama_api.turn_formats import CHATML_FORMAT, FORMATS, TurnFormat, recognised
from desktop.ollama_api.versions import CHILD_ENGINE, Behaviour, VersionTooOld
from desktop.serving.protocol import Chat

JINJA_KEY = "tokenizer.chat_template"


class TemplatelessModels:
    """The models of one server that bring no Go template; nothing to do from 0.30 on."""

    def __init__(self, client: OllamaClient, server: Behaviour) -> None:
        self._client = client
        self._server = server
        self._known: dict[str, tuple[Inheritance, TurnFormat]] = {}

    async def completed(self, found: Inheritance) -> Inheritance:
        """What a model made of this base inherits, with a Go template if its Jinja is known.

        A base without any template stays as it is. Raises `VersionTooOld` for an unknown Jinja.
        """
        if self._server.reads_jinja or found.kind != "none":
            return found
        path, _ = await model_file(self._client, found.model)
        jinja = read_header(path).text(JINJA_KEY)
        if not jinja:
            return found
        return self.in_words_of_server(replace(found, kind="jinja", jinja=jinja), path)

    def in_words_of_server(self, inheritance: Inheritance, gguf: Path) -> Inheritance:
        """The same with a Go template for a Jinja that the server would not read.

        Raises `VersionTooOld` if no known format renders as that Jinja does.
        """
        if self._server.reads_jinja or inheritance.kind != "jinja":
            return inheritance
        form = self._format_of(gguf, inheritance.jinja)
        fitted = replace(inheritance, kind="go", template=form.go_template, jinja="")
        return fitted.with_stop(form.stop)

    async def render(self, name: str, messages: Chat) -> str | None:
        """What a model made of the base `name` will be given; None if the server itself can say.

        Raises as `completed`.
        """
        if self._server.reads_jinja:
            return None
        if name not in self._known:
            found = await inherit(self._client, name, self._server)
            if found.kind != "none":
                return None
            completed = await self.completed(found)
            self._known[name] = found, _form_of(completed)
        found, form = self._known[name]
        return form.render(_with_own_messages(found, messages))

    def _format_of(self, gguf: Path, jinja: str) -> TurnFormat:
        form = _recognised(gguf, jinja)
        if form is None:
            raise VersionTooOld(
                self._server.version,
                "It does not use the chat template inside the model's file, and no Go template is "
                "known that renders the same.", CHILD_ENGINE,
            )
        return form


def _recognised(gguf: Path, jinja: str) -> TurnFormat | None:
    from desktop.engine.chat import render_prompt
    from desktop.engine.child import EngineChild

    hard = json.loads(resources.path("hard_conversations.json").read_text(encoding="utf-8"))
    # A stranger's template is a program: it runs in a child with a time limit.
    with EngineChild(gguf, vocab_only=True) as child:
        info = child.vocabulary()
        try:
            return recognised(
                lambda messages: render_prompt(child, info, jinja, messages),
                [entry["messages"] for entry in hard], info.text(info.bos),
            )  # fmt: skip
        except UserError:  # it refuses a conversation, which no Go template can
            return None


def _form_of(completed: Inheritance) -> TurnFormat:
    known = {form.go_template: form for form in FORMATS}
    return known.get(completed.template, CHATML_FORMAT)


def _with_own_messages(found: Inheritance, messages: Sequence[Message]) -> list[Message]:
    """As the server puts the model's own messages and system text in front (its ChatHandler)."""
    conversation = [*found.messages, *messages]
    if found.system and messages and messages[0]["role"] != "system":
        conversation.insert(0, {"role": "system", "content": found.system})
    return conversation
