"""The rows of a data file as the model will be trained on them, before there is a job."""

import asyncio

from converters.events import Report
from converters.gguf.header import Header
from desktop.engine.child import EngineChild
from desktop.jobs.data import Data, read_data
from desktop.jobs.prepared import PreparedText, TextSource, prepare_text
from desktop.jobs.render import Chat
from desktop.jobs.spec import BaseFile
from desktop.serving.protocol import Serving
from finetune.spec import TuneSpec


async def read_as_trained(
    serving: Serving, tune: TuneSpec, base: BaseFile, header: Header, report: Report
) -> tuple[Data, PreparedText]:
    """Read, split, render and tokenise everything; nothing is written.

    A model that its server loaded for this alone is released again. Raises UserError as the job's
    own step does.
    """
    loop = asyncio.get_running_loop()
    was_loaded = any(model.name in (tune.model, f"{tune.model}:latest")
                     for model in await serving.resident())

    def render(messages: Chat) -> str:
        request = serving.render(tune.model, messages, tune.think)
        return asyncio.run_coroutine_threadsafe(request, loop).result()

    def read() -> tuple[Data, PreparedText]:
        found = read_data(tune, lambda: False)
        source = TextSource(base.path, header, render)
        with EngineChild(base.path, vocab_only=True) as child:
            return found, prepare_text(source, child, found, tune, report, lambda: False)

    try:
        return await asyncio.to_thread(read)
    finally:
        if not was_loaded:
            await serving.release(tune.model)
