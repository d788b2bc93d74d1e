"""`tunedesk demo`: the whole thread on a starter model and sample data of our own."""

import asyncio
import json
from pathlib import Path

import resources
from desktop.commands.context import Context, Output
from desktop.commands.tune import run_tune
from desktop.core.catalog import Starter, fetch_starter, file_sha256, starter
from desktop.ollama_api.inherit import Inheritance
from desktop.serving.choice import Chosen, choose
from desktop.serving.protocol import NewModel
from finetune.spec import TuneSpec

TRAIN_SECONDS = 240.0
EXAMPLES = 40
NAME = "tickets-demo"
CONTEXT_TOKENS = 2048


def demo(context: Context) -> Output:
    """Tune the starter model on sample mails, prove it, and compare both answers (10 minutes)."""
    context.home.require_writable()
    model = starter()
    context.say(asyncio.run(_bring_starter(context, model)))
    spec = TuneSpec(
        model=model.name, data=resources.path("samples/customer_mail_train.jsonl"), name=NAME,
        held_out=resources.path("samples/customer_mail_held_out.jsonl"),
        max_seconds=TRAIN_SECONDS, replace=True,
    )
    output = run_tune(context, spec, EXAMPLES)
    question = _question(spec)
    tuned_name = output.value["model"]
    base_answer, tuned_answer = asyncio.run(_answers(context, model.name, tuned_name, question))
    value = output.value | {"base_answer": base_answer, "tuned_answer": tuned_answer}
    text = "\n".join([
        output.text, "", "The question:", _indented(question), f"{model.name} (before):",
        _indented(base_answer), f"{tuned_name} (after):", _indented(tuned_answer),
    ])
    return Output(value, text, output.code)


async def _bring_starter(context: Context, model: Starter) -> str:
    """Put the starter model where models are served, unless it is there; a sentence about it."""
    chosen = await choose(context.home, context.host, context.engine)
    try:
        if any(held.name == model.name for held in await chosen.serving.held()):
            return f"{chosen.why} {model.name} is already there."
        return await _create_starter(context, chosen, model)
    finally:
        await chosen.serving.close()


async def _create_starter(context: Context, chosen: Chosen, model: Starter) -> str:
    context.say(f"{chosen.why} Getting the starter model {model.name} (93 MB, {model.licence}).")
    gguf = await asyncio.to_thread(fetch_starter, model, context.home.cache / "starter")
    licence = gguf.with_name(f"{gguf.stem}.LICENSE").read_text(encoding="utf-8")
    inheritance = Inheritance(
        model=model.name, kind="go", template=model.template, stops=model.stops,
        license=(licence,),
    )
    new = NewModel(gguf, file_sha256(gguf), model.name, inheritance, CONTEXT_TOKENS)
    await chosen.serving.create(new, lambda *_: None, lambda: False)
    return f"{model.name} is ready."


async def _answers(context: Context, base: str, tuned: str, question: str) -> tuple[str, str]:
    chosen = await choose(context.home, context.host, context.engine)
    messages = [{"role": "user", "content": question}]
    try:
        first = await chosen.serving.answer(base, messages, CONTEXT_TOKENS // 8)
        second = await chosen.serving.answer(tuned, messages, CONTEXT_TOKENS // 8)
    finally:
        await chosen.serving.close()
    return first.text, second.text


def _question(spec: TuneSpec) -> str:
    """The first held-out mail: the model has not seen it."""
    assert spec.held_out is not None
    with Path(spec.held_out).open(encoding="utf-8") as file:
        return json.loads(file.readline())["messages"][0]["content"]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
