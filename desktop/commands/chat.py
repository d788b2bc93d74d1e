"""`tunedesk chat MODEL --once "text"`: one question, one answer."""

import sys
from typing import Annotated

import typer

from converters.errors import UserError
from desktop.commands.context import USER_ERROR, Context, Output
from desktop.ollama_api.errors import StreamCut
from desktop.serving.choice import choose

INCOMPLETE = " [incomplete]"


async def chat(
    context: Context,
    model: Annotated[str, typer.Argument(help="A model's name.")],
    once: Annotated[str, typer.Option(help="The question.")],
) -> Output:
    """Ask a model one question."""
    if not once.strip():
        raise UserError("The question is empty.", "", 'Write it behind --once, as in --once "Hi".')
    chosen = await choose(context.home, context.host, context.engine)
    try:
        answer = await chosen.serving.answer(model, [{"role": "user", "content": once}], None)
    except StreamCut as cut:
        if not cut.text:
            raise
        return _incomplete(context, cut)
    finally:
        await chosen.serving.close()
    value = {
        "answer": answer.text, "stop_reason": answer.stop_reason,
        "prompt_tokens": answer.prompt_tokens, "answer_tokens": answer.answer_tokens,
        "seconds": round(answer.seconds, 3),
    }
    return Output(value, answer.text)


def _incomplete(context: Context, cut: StreamCut) -> Output:
    """What came before the answer was cut off: shown, and never taken for the whole."""
    if not context.as_json:
        print(f"{cut.text}{INCOMPLETE}", flush=True)
        print(f"Error: {cut.title}\n{cut.detail}\n{cut.hint}", file=sys.stderr, flush=True)
    value = {**cut.as_json(), "answer": cut.text, "complete": False}
    return Output(value, "", USER_ERROR)
