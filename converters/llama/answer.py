"""Writes one answer as a stream of text, ended by an end token, a stop text or a limit."""

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from converters.llama.sampling import Sampler, Sampling
from converters.llama.scorer import Scorer
from converters.llama.vocabulary import Vocabulary

StopReason = Literal["stop", "length", "stopped"]


@dataclass(frozen=True)
class Answer:
    """A written answer; "stopped" means that the person asked to stop.

    ids are the tokens before the end token; text ends before the stop text, if one was met.
    """

    text: str
    ids: tuple[int, ...]
    stop_reason: StopReason
    prompt_tokens: int


class StopFilter:
    """Lets text through up to the first stop text; holds back what may become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.is_met = False

    def feed(self, text: str) -> str:
        """The text that is certain now; nothing more after a stop text was met."""
        if self.is_met:
            return ""
        text = self._held + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.is_met = True
            self._held = ""
            return text[: min(found)]
        cut = len(text) - self._open_end(text)
        self._held = text[cut:]
        return text[:cut]

    def rest(self) -> str:
        """What was held back and turned out to be no stop text, at the end of the answer."""
        held, self._held = self._held, ""
        return held

    def _open_end(self, text: str) -> int:
        """How many last characters are the beginning of a stop text."""
        lengths = (
            length
            for stop in self._stops
            for length in range(min(len(stop) - 1, len(text)), 0, -1)
            if text.endswith(stop[:length])
        )
        return max(lengths, default=0)


def write_answer(
    scorer: Scorer,
    vocabulary: Vocabulary,
    prompt: Sequence[int],
    max_tokens: int,
    *,
    stops: Sequence[str] = (),
    sampling: Sampling | None = None,
    on_text: Callable[[str], None] = lambda _text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Answer:
    """Write at most `max_tokens` after `prompt`, fewer if the context is full before.

    on_text gets every piece of text once it is certain; should_stop is asked before each token.
    Raises UserError when the prompt alone does not fit.
    """
    scorer.check_room(len(prompt))
    sampler = Sampler(sampling or Sampling())
    output = _Output(vocabulary, stops, on_text)
    reason: StopReason = "length"
    for _ in range(min(max_tokens, scorer.n_ctx - len(prompt) + 1)):
        if should_stop():
            reason = "stopped"
            break
        ids = [*prompt, *output.ids]
        token = sampler.choose(scorer.next_logits(ids), ids)
        if token in vocabulary.end_tokens or output.add(token):
            reason = "stop"
            break
    return Answer(output.finish(), tuple(output.ids), reason, len(prompt))


class _Output:
    """Tokens on their way to text: characters cut between tokens, stop texts held back."""

    def __init__(
        self, vocabulary: Vocabulary, stops: Sequence[str], on_text: Callable[[str], None]
    ) -> None:
        self.ids: list[int] = []
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._filter = StopFilter(stops)
        self._on_text = on_text
        self._shown: list[str] = []

    def add(self, token: int) -> bool:
        """Take one token; whether a stop text is complete."""
        self.ids.append(token)
        piece = self._vocabulary.piece(token, special=False)
        self._show(self._filter.feed(self._decoder.decode(piece)))
        return self._filter.is_met

    def finish(self) -> str:
        """The whole text of the answer."""
        if not self._filter.is_met:
            self._show(self._filter.feed(self._decoder.decode(b"", final=True)))
            self._show(self._filter.rest())
        return "".join(self._shown)

    def _show(self, text: str) -> None:
        if text:
            self._shown.append(text)
            self._on_text(text)
