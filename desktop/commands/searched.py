"""Where a search looked, in one sentence: `library search`, `ask` and `chat` tell it alike."""

from desktop.core.counted import counted
from desktop.documents.passages import Answer

_SHOWN_NAMES = 8


def searched_text(answer: Answer) -> str:
    """Where was looked; and that nothing was found, and why, where that is so."""
    parts = [f"Searched in{_where(answer)}."]
    if answer.pages_indexed < answer.pages:
        parts.append(f"{answer.pages_indexed:,} of {counted(answer.pages, 'page')} indexed so far.")
    if answer.unread:
        is_are = "is" if answer.unread == 1 else "are"
        parts.append(f"{counted(answer.unread, 'file')} {is_are} not read yet.")
    if not answer.passages:
        parts.append(f"Nothing was found. {answer.nothing}")
    return " ".join(parts)


def _where(answer: Answer) -> str:
    count, considered = len(answer.searched), answer.considered
    if answer.looked_through and considered > 1:
        return f" all {considered:,} documents with text"
    names = answer.searched[:_SHOWN_NAMES]
    more = count - len(names)
    said = f": {', '.join(names) or 'no document'}" + (f" and {more} more" * bool(more))
    if considered > count and names:
        said += f" (the {count} of {considered:,} documents that fit best)"
    return said
