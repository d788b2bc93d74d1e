"""One answer of a model on this machine, without Ollama: messages -> prompt -> ids -> answer."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from converters.chat_template import CHATML, FIXED_DAY, Message
from converters.gguf.header import read_header
from converters.llama.answer import Answer
from desktop.engine.builtin import BuiltinModel, Card
from desktop.engine.child import EngineChild, VocabularyInfo


def chat_once(
    model: BuiltinModel,
    messages: Sequence[Message],
    *,
    options: Mapping[str, Any] | None = None,
    max_tokens: int | None = None,
    n_ctx: int = 2048,
    threads: int = 1,
    on_text: Callable[[str], None] = lambda _text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Answer:
    """Open the model, answer `messages` once and close it again.

    options go over the model's own parameters; max_tokens None means as many as the context has
    room for. Raises UserError: damaged file, refusing template, a conversation that is too long.
    """
    with EngineChild(model.gguf, n_ctx=n_ctx, threads=threads) as child:
        template = template_of(model)
        ids = prompt_ids(child, template, with_system(messages, model.card), now=datetime.now())
        return child.answer(
            ids,
            n_ctx if max_tokens is None else max_tokens,
            stops=model.card.stops,
            options={**model.card.parameters, **(options or {})},
            on_text=on_text,
            should_stop=should_stop,
        )


def template_of(model: BuiltinModel) -> str:
    """The recorded template, else the GGUF's own, else ChatML."""
    return model.card.template or read_header(model.gguf).text("tokenizer.chat_template") or CHATML


def with_system(messages: Sequence[Message], card: Card) -> list[Message]:
    """The messages, with the model's own system prompt in front if they bring none."""
    if not card.system or any(message["role"] == "system" for message in messages):
        return list(messages)
    return [{"role": "system", "content": card.system}, *messages]


def render_prompt(
    child: EngineChild,
    info: VocabularyInfo,
    template: str,
    messages: Sequence[Message],
    *,
    now: datetime = FIXED_DAY,
) -> str:
    """The prompt of `messages` by `template`, open for an answer; rendered in the child."""
    return child.render(
        template, messages, bos=info.text(info.bos), eos=info.text(info.eos),
        add_generation_prompt=True, now=now,
    )  # fmt: skip


def prompt_ids(
    child: EngineChild, template: str, messages: Sequence[Message], *, now: datetime = FIXED_DAY
) -> list[int]:
    """The ids of the rendered prompt, with exactly one BOS where the file asks for one."""
    info = child.vocabulary()
    [ids] = child.tokenize([render_prompt(child, info, template, messages, now=now)])
    if info.add_bos and info.bos is not None and ids[:1] != [info.bos]:
        ids.insert(0, info.bos)
    return ids
