"""`tunedesk export`: base file + LoRA adapter -> one finished GGUF, without a job."""

from pathlib import Path
from typing import Annotated

import typer

from converters.adapter import read_adapter, write_gguf_adapter
from converters.errors import UserError
from converters.export import Exported, ExportPlan, export
from converters.gguf.header import read_header
from desktop.commands.context import Context, Output
from desktop.commands.live import LiveLine
from desktop.jobs.steps.export import summary_of
from desktop.serving.choice import choose


async def export_command(
    context: Context,
    base: Annotated[str, typer.Option(help="A model's name, or a GGUF file.")],
    adapter: Annotated[Path, typer.Option(help="Folder of a LoRA adapter in PEFT's format.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The GGUF to write.")],
    type_: Annotated[str, typer.Option("--type", help="auto, same, Q5_0, Q6_K, Q8_0, F16 ...")]
    = "auto",
    adapter_gguf: Annotated[bool, typer.Option(help="Write the adapter as a GGUF too.")] = False,
) -> Output:
    """Merge an adapter into a base and write the finished GGUF in one pass."""
    path = await _base_path(context, base)
    plan = ExportPlan(path, adapter, output, type_)
    with LiveLine() as line:
        exported = export(plan, line.report, lambda: False)
    if adapter_gguf:
        header = read_header(path)
        target = output.with_suffix(".adapter.gguf")
        write_gguf_adapter(target, read_adapter(adapter, header), header)
        context.say(f"The adapter is {target}.")
    return Output(exported.as_json(), _text(exported))


async def _base_path(context: Context, base: str) -> Path:
    if base.endswith(".gguf"):
        if not Path(base).is_file():
            raise UserError("The base file is missing.", f"There is no {base}.", "Check the path.")
        return Path(base)
    chosen = await choose(context.home, context.host, context.engine)
    try:
        return (await chosen.serving.base_file(base)).path
    finally:
        await chosen.serving.close()


def _text(exported: Exported) -> str:
    return "\n".join([
        f"{exported.gguf}  {exported.n_bytes / 1e6:,.1f} MB  sha256 {exported.sha256}",
        summary_of(exported),
        f"{exported.seconds:.1f} s, {exported.peak_rss_bytes / 1e6:,.0f} MB of memory.",
    ])
