"""Chat formats of plain turns, each as a Go template and as a function that renders the same.

For Ollama below 0.30, which does not read the Jinja of a GGUF: a base that has nothing else is
recognised by its renders, gets the Go template, and is trained on what that template will render.
The texts are the formats' own; that both forms agree is tried on a real server.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from desktop.ollama_api.replies import Message

RenderJinja = Callable[[Sequence[Message]], str]


@dataclass(frozen=True)
class TurnFormat:
    """Every turn is `head` (with the role's name in it), the content and `tail`.

    default_system: what stands in front when a conversation brings no system message.
    """

    name: str
    head: str
    tail: str
    stop: str
    default_system: str = ""

    @property
    def go_template(self) -> str:
        """The text for /api/create."""
        turn = self.head.format(role="{{ $m.Role }}") + "{{ $m.Content }}" + self.tail
        default = ""
        if self.default_system:
            text = self._turn("system", self.default_system)
            default = '{{ if and (eq $i 0) (ne $m.Role "system") }}' + text + "{{ end }}"
        body = "{{- range $i, $m := .Messages }}" + default + turn + "{{ end }}"
        return body + self.head.format(role="assistant")

    def render(self, messages: Sequence[Message]) -> str:
        """What Ollama makes of the conversation with `go_template`, open for an answer."""
        turns = merged_turns(messages)
        text = ""
        if self.default_system and turns and turns[0][0] != "system":
            text = self._turn("system", self.default_system)
        text += "".join(self._turn(role, content) for role, content in turns)
        return text + self.head.format(role="assistant")

    def _turn(self, role: str, content: str) -> str:
        return self.head.format(role=role) + content + self.tail


CHATML_HEAD = "<|im_start|>{role}\n"
FORMATS = (
    TurnFormat("ChatML", CHATML_HEAD, "<|im_end|>\n", "<|im_end|>"),
    TurnFormat(
        "SmolLM2", CHATML_HEAD, "<|im_end|>\n", "<|im_end|>",
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    ),
    TurnFormat(
        "Qwen 2.5", CHATML_HEAD, "<|im_end|>\n", "<|im_end|>",
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    ),
    TurnFormat(
        "Llama 3", "<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>", "<|eot_id|>"
    ),
    TurnFormat("Zephyr", "<|{role}|>\n", "</s>\n", "</s>"),
    TurnFormat("Phi 3", "<|{role}|>\n", "<|end|>\n", "<|end|>"),
)  # fmt: skip
CHATML_FORMAT = FORMATS[0]


def merged_turns(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """(role, content) as Ollama's Go templates see them: neighbours of one role become one turn
    (ollama `template/template.go`, collate)."""
    turns: list[tuple[str, str]] = []
    for message in messages:
        role, content = str(message["role"]), str(message["content"])
        if turns and turns[-1][0] == role:
            content = f"{turns.pop()[1]}\n\n{content}"
        turns.append((role, content))
    return turns


def recognised(
    render: RenderJinja, conversations: Sequence[Sequence[Message]], bos: str
) -> TurnFormat | None:
    """The format that renders every conversation as `render` does, None if there is none.

    Blanks around a content are left out of the comparison (no Go template can trim them), as is
    one leading `bos`, which the server adds by itself.
    """
    probes = [_trimmed(conversation) for conversation in conversations]
    texts = [render(probe) for probe in probes]
    # Both forms count: a format may itself begin with what is the model's BOS (SmolLM2).
    wanted = [(text, text.removeprefix(bos)) for text in texts]
    for form in FORMATS:
        if all(form.render(probe) in either for probe, either in zip(probes, wanted, strict=True)):
            return form
    return None


def _trimmed(messages: Sequence[Message]) -> list[Message]:
    return [{**message, "content": str(message["content"]).strip()} for message in messages]
