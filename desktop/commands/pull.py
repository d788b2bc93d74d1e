"""`tunedesk pull MODEL`: let Ollama get a model, with rate and remaining time."""

import time
from contextlib import aclosing
from typing import Annotated

import typer

from converters.errors import UserError
from converters.events import Progress, Report, Stage
from desktop.commands.context import Context, Output
from desktop.commands.live import LiveLine
from desktop.ollama_api.names import same_name
from desktop.ollama_api.pulling import PullStatus
from desktop.serving.choice import Patience, connected

RATE_WINDOW_S = 10.0


async def pull(
    context: Context, model: Annotated[str, typer.Argument(help="A model of Ollama's library.")]
) -> Output:
    """Let Ollama get a model. Ctrl-C stops it; what is there is used by the next pull."""
    if context.engine == "builtin":
        raise UserError(
            "The built-in engine pulls no models.", "Only Ollama does.",
            "Start Ollama, or `tunedesk import` a GGUF file.",
        )
    client, _ = await connected(context.host, Patience())
    async with client:
        with LiveLine() as line:
            progress = PullReport(model, line.report)
            async with aclosing(client.pull(model)) as stream:
                async for status in stream:
                    progress.take(status)
        tags = [tag for tag in await client.tags() if same_name(tag.name, model)]
    digest, n_bytes = (tags[0].digest, tags[0].n_bytes) if tags else ("", 0)
    value = {"model": model, "digest": digest, "bytes": n_bytes}
    return Output(value, f"{model} is there ({n_bytes / 1e9:.2f} GB, {digest[:12]}).")


class PullReport:
    """Statuses of a pull -> events: one stage for each kind of work, all files in one count."""

    def __init__(self, model: str, report: Report) -> None:
        self._model = model
        self._report = report
        self._files: dict[str, PullStatus] = {}
        self._stage = ""
        self._samples: list[tuple[float, int]] = []

    def take(self, status: PullStatus) -> None:
        """Tell one line."""
        stage = f"pull {self._model}" if status.digest else status.status
        if stage != self._stage:
            self._stage = stage
            self._report(Stage(stage))
        if status.digest:
            self._files[status.digest] = status
            self._report(self._progress(time.monotonic()))

    def _progress(self, now: float) -> Progress:
        done = sum(file.completed for file in self._files.values())
        total = sum(file.total for file in self._files.values())
        rate = self._rate(now, done)
        return Progress(
            step=done, steps=total, bytes_per_s=rate,
            remaining_s=(total - done) / rate if rate else None,
        )

    def _rate(self, now: float, done: int) -> float:
        """Bytes a second over the last ten; a part that is tried again counts as no progress."""
        self._samples.append((now, done))
        self._samples = [sample for sample in self._samples if now - sample[0] <= RATE_WINDOW_S]
        then, earlier = self._samples[0]
        return max(0.0, (done - earlier) / (now - then)) if now > then else 0.0
