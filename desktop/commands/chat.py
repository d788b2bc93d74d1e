"""`tunedesk chat MODEL --once "text"`: one question, one answer."""

from typing import Annotated

import typer

from converters.errors import UserError
from desktop.commands.context import Context, Output
from desktop.serving.choice import choose


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
    finally:
        await chosen.serving.close()
    value = {
        "answer": answer.text, "stop_reason": answer.stop_reason,
        "prompt_tokens": answer.prompt_tokens, "answer_tokens": answer.answer_tokens,
        "seconds": round(answer.seconds, 3),
    }
    return Output(value, answer.text)
