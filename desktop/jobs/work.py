"""What every step of a job works with: its folder, its specification, and where models are served.

The steps hand results to each other through the folder's artefacts only, so that a later process
can go on from any of them.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from converters.errors import Stopped, UserError
from converters.events import Note, Report, ShouldStop
from converters.gguf.header import Header, read_header
from desktop.core.paths import Home
from desktop.core.records import read_record
from desktop.jobs.folder import JobFolder
from desktop.jobs.render import Chat
from desktop.jobs.spec import TuneJob
from desktop.ollama_api.errors import (
    ModelNotFound,
    OllamaNotRunning,
    OllamaStalled,
    OllamaUnreadable,
    SignInNeeded,
    StreamCut,
)
from desktop.ollama_api.outage import News
from desktop.serving.choice import Patience, open_serving
from desktop.serving.protocol import Serving

REFUSED = "(the template refuses this conversation)"
RECONNECT_S = 30.0
_SERVER_FAILED = (
    OllamaNotRunning, OllamaStalled, OllamaUnreadable, SignInNeeded, StreamCut, ModelNotFound,
)


@dataclass
class Work:
    """One run of a worker. `seconds` collects the wall time of each step by its name."""

    folder: JobFolder
    report: Report
    should_stop: ShouldStop
    seconds: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.job = read_record(self.folder.spec, TuneJob)
        self._runner = asyncio.Runner()
        job = self.job
        patience = Patience(RECONNECT_S, self._on_outage)
        try:
            self.serving: Serving = self.wait(
                open_serving(Home(job.home), job.host, job.engine, patience)
            )
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wait(self.serving.close())
        self._runner.close()

    @cached_property
    def base(self) -> Header:
        """The header of the base's file."""
        return read_header(self.job.base.path)

    def wait[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one request to the end."""
        return self._runner.run(coroutine)

    def render(self, messages: Chat) -> str:
        """The base's render of a conversation."""
        return self.wait(self.serving.render(self.job.base.model, messages, self.job.tune.think))

    def render_or_refusal(self, model: str, messages: Chat) -> str:
        """What `model` is given for a conversation, or REFUSED: some templates take no system
        message. A server that fails in another way raises as always."""
        try:
            return self.wait(self.serving.render(model, messages, self.job.tune.think))
        except _SERVER_FAILED:
            raise
        except UserError:
            return REFUSED

    def _on_outage(self, news: News) -> None:
        """A server that restarts must not end a job, but the person sees that it is waited for."""
        if news == "lost":
            text = f"Ollama does not answer; trying again for up to {RECONNECT_S:.0f} s."
            self.report(Note("warning", text))
        elif news == "back":
            self.report(Note("info", "Ollama answers again."))
        if self.should_stop():
            raise Stopped

    @property
    def engine_log(self) -> Path:
        """Where the children of libllama write their noise."""
        return self.folder.root / "engine.log"

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the block's wall time to `seconds[step]`."""
        start = time.monotonic()
        try:
            yield
        finally:
            took = self.seconds.get(step, 0.0) + time.monotonic() - start
            self.seconds[step] = round(took, 2)
