"""What an addition of documents has to say, as JSON and in words."""

from collections import Counter

from desktop.commands.context import Output
from desktop.core.counted import counted
from desktop.core.records import read_record
from desktop.documents.index_job import RESULT, IndexResult, SkippedFile
from desktop.jobs.folder import JobFolder
from desktop.jobs.progress import duration

READ_KINDS = "PDF, text, Markdown and CSV files are read."
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
        f'The library "{result.library}": {counted(result.files, "file")} found, '
        f"{result.indexed:,} read in {duration(result.seconds)}, {result.unchanged:,} unchanged, "
        f"{result.same_content:,} with content that was known.",
        _pages_line(result) if result.files else READ_KINDS,
    ]
    if result.hidden_files:
        were = "was" if result.hidden_files == 1 else "were"
        hidden = counted(result.hidden_files, "hidden file")
        lines.append(f"{hidden} {were} left out; a file that is named by itself is added.")
    if result.skipped:
        were = "was" if len(result.skipped) == 1 else "were"
        lines.append(f"{counted(len(result.skipped), 'file')} {were} set aside:")
        lines += _skipped_lines(result.skipped)
    if any("password" in file.reason.lower() for file in result.skipped):
        lines.append("Give the password of encrypted documents with --password-stdin.")
    return lines


def _pages_line(result: IndexResult) -> str:
    """ "3 of their 4 pages have text and can be searched.", in the right numbers."""
    with_text = result.pages - result.pages_without_text
    if result.pages == 1:
        has = "has" if with_text else "has no"
        return f"The only page {has} text and {'can' if with_text else 'cannot'} be searched."
    its, have = "its" if result.files == 1 else "their", "has" if with_text == 1 else "have"
    pages = counted(result.pages, "page")
    return f"{with_text:,} of {its} {pages} {have} text and can be searched."


def _skipped_lines(skipped: tuple[SkippedFile, ...]) -> list[str]:
    lines = [f"  {file.file}: {file.reason}" for file in skipped[:_NAMED]]
    if len(skipped) > _NAMED:
        rest = Counter(file.reason.partition(".")[0] for file in skipped[_NAMED:])
        counted = "; ".join(f"{count:,} x {reason}" for reason, count in rest.most_common(5))
        lines.append(f"  and {len(skipped) - _NAMED:,} more: {counted}")
    return lines
