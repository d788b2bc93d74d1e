"""Which chat template goes where, so that a new model renders exactly as its base.

Three traps of Ollama (FACTS 3.3, tried on 0.34.4): a Jinja text sent as `template` is refused or
misread; without `template` the GGUF's Jinja is compared with 37 known ones and below an edit
distance of 100 a Go template is put over it; a Go template cannot be taken away again.
"""

from dataclasses import dataclass

from desktop.ollama_api.inherit import Inheritance

CHATML = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)
"""The Go template for a base without any; what Ollama >= 0.30 falls back to by itself."""
CHATML_STOP = "<|im_end|>"

# None of the 37 known templates has a `~`, so each of these characters costs one edit: a Jinja
# with this comment is at least 100 edits away from all of them, whatever its length.
SHIELD = "{# Tunedesk: this keeps Ollama from guessing another template. " + "~" * 100 + " #}"


@dataclass(frozen=True)
class TemplatePlan:
    """What a new model needs. template: the Go text to send to /api/create, None to send none.

    jinja: the text that the GGUF must carry as `tokenizer.chat_template`, None to leave it alone.
    """

    template: str | None
    jinja: str | None


def template_plan(inheritance: Inheritance) -> TemplatePlan:
    """The plan for a model made of this base; pure.

    Go: sent as it is (beside the same Jinja as in the base it wins or loses as there). Renderer:
    wins over any template. Jinja: nothing is sent, and the GGUF carries it shielded against the
    guess. None: ChatML is sent.
    """
    if inheritance.kind == "jinja":
        return TemplatePlan(None, shielded(inheritance.jinja))
    if inheritance.kind == "none":
        return TemplatePlan(CHATML, None)
    return TemplatePlan(inheritance.template or None, None)


def shielded(jinja: str) -> str:
    """`jinja` with a comment that no known template is near to; renders the same. Idempotent."""
    if SHIELD in jinja:
        return jinja
    if jinja.startswith(("\n", "\r")):
        # Behind a comment the first newline would be trimmed; Jinja drops a last one by itself.
        return jinja.removesuffix("\n") + SHIELD
    return SHIELD + jinja
