"""Which state an error text of Ollama stands for (texts: FACTS 3.1, read from its sources)."""

from desktop.ollama_api.errors import (
    BlobMissing,
    ModelNotFound,
    OllamaError,
    OllamaRefused,
    PullFailed,
)

_CAUSES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("no space left",), "Ollama's store is full.", "Free some space, then restart Ollama.",
    ),
    (
        ("exceed_context_size", "exceeds the context length", "prompt is longer than the context"),
        "The text is longer than the model's context.", "Send a shorter text.",
    ),
    (
        ("unsupported architecture", "unknown model architecture", "failed to validate gguf"),
        "This Ollama does not know the model's architecture.", "Update Ollama.",
    ),
    (
        ("binary not found", "llama-quantize unavailable"),
        "Ollama's installation is incomplete.", "Install Ollama again.",
    ),
    (("does not support",), "The model cannot do that.", "Choose another model."),
)
"""(words in the text, title, next step): the first row with one of its words counts."""


def refusal(status: int, text: str, model: str = "") -> OllamaError:
    """The error class for an error text of the server.

    model: the name that the request was about, "" if none.
    """
    lowered = text.lower()
    if "pull model manifest" in lowered or "max retries exceeded" in lowered:
        return _failed_pull(text, lowered, model)
    blob_gone = ("no such file" in lowered and "sha256" in lowered) or "blob not found" in lowered
    if blob_gone:
        return BlobMissing(status, text, "Ollama lost the uploaded model file.")
    if "read gguf metadata" in lowered or "file not in gguf format" in lowered:
        return OllamaRefused(
            status, text, f"The file of {model!r} in Ollama's store is damaged.",
            f"A pull alone does not repair it: `ollama rm {model}`, then `tunedesk pull {model}`.",
        )  # fmt: skip
    if model and "not found" in lowered and "model" in lowered:
        return ModelNotFound(model)
    for words, title, hint in _CAUSES:
        if any(word in lowered for word in words):
            return OllamaRefused(status, text, title, hint)
    return OllamaRefused(status, text)


def _failed_pull(text: str, lowered: str, model: str) -> PullFailed:
    if "file does not exist" in lowered or "not found" in lowered:
        return PullFailed(model, text, "Check the spelling: no model of this name can be pulled.")
    return PullFailed(model, text, "Check that Ollama can reach the internet, then try again.")
