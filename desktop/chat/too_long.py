"""What Ollama says of a prompt that is larger than the window, in its forms (FACTS 3.2). Pure."""

import re
from dataclasses import dataclass

from desktop.ollama_api.errors import OllamaError, OllamaRefused

_WORDS = (
    "exceed_context_size", "exceeds the available context size", "exceeds the context length",
    "prompt is longer than the context length",
)  # fmt: skip
# The error may be JSON inside of a string, once or twice escaped.
_PROMPT = re.compile(r'n_prompt_tokens\\*"\s*:\s*(\d+)|request \((\d+) tokens\)')
_WINDOW = re.compile(r'n_ctx\\*"\s*:\s*(\d+)|context size \((\d+) tokens\)')


@dataclass(frozen=True)
class Excess:
    """Tokens of the prompt and of the window, 0 where the server does not say."""

    prompt_tokens: int
    window: int


def excess_of(error: OllamaError) -> Excess | None:
    """The excess that an error stands for; None for any other error."""
    if not isinstance(error, OllamaRefused):
        return None
    if not any(words in error.text.lower() for words in _WORDS):
        return None
    return Excess(_number(_PROMPT, error.text), _number(_WINDOW, error.text))


def _number(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.search(text)
    return int(found[1] or found[2]) if found else 0
