"""What an addition of documents has to say, as JSON and in words."""

from collections import Counter

from desktop.commands.context import Output
from desktop.core.records import read_record
from desktop.documents.index_job import RESULT, IndexResult, SkippedFile
from desktop.jobs.folder import JobFolder
from desktop.jobs.progress import duration

_NAMED = 20


def added_output(folder: JobFolder, code: int) -> Output:
    """The output of an index job that ended with the worker's exit code `code`."""
    result = read_record(folder.artefact(RESULT), IndexResult)
    return output_of_result(result, code, folder.id)


def output_of_result(result: IndexResult, code: int, job: str = "") -> Output:
    """The same for a result at hand."""
    value = result.model_dump(mode="json") | ({"job": job} if job else {})
    return Output(value, "\n".join(_lines(result)), code)


def _lines(result: IndexResult) -> list[str]:
    lines = [
        f'The library "{result.library}": {result.files:,} files found, {result.indexed:,} read in '
        f"{duration(result.seconds)}, {result.unchanged:,} unchanged, {result.same_content:,} with "
        "content that was known.",
        f"{result.pages - result.pages_without_text:,} of their {result.pages:,} pages have text "
        "and can be searched.",
    ]
    if result.skipped:
        lines.append(f"{len(result.skipped):,} files were set aside:")
        lines += _skipped_lines(result.skipped)
    if any("password" in file.reason.lower() for file in result.skipped):
        lines.append("Give the password of encrypted documents with --password-stdin.")
    return lines


def _skipped_lines(skipped: tuple[SkippedFile, ...]) -> list[str]:
    lines = [f"  {file.file}: {file.reason}" for file in skipped[:_NAMED]]
    if len(skipped) > _NAMED:
        rest = Counter(file.reason.partition(".")[0] for file in skipped[_NAMED:])
        counted = "; ".join(f"{count:,} x {reason}" for reason, count in rest.most_common(5))
        lines.append(f"  and {len(skipped) - _NAMED:,} more: {counted}")
    return lines
