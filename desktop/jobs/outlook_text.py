"""What is known about a run before it starts, in words; and the refusal of one that cannot fit."""

from converters.errors import UserError
from desktop.jobs.outlook import Outlook
from desktop.jobs.room import size

SHOWN_TERMS = 3


def advice_of(found: Outlook) -> list[str]:
    """Sentences for the person, the most important first."""
    return [*_memory_advice(found), *_disk_advice(found), found.time.why, size_text(found)]


def require_memory(found: Outlook) -> None:
    """Raise UserError, with needed and free and the largest lever, if the memory is too small."""
    if found.fits:
        return
    room = found.room
    raise UserError(
        f"The run does not fit the {room.kind}.",
        f"{memory_text(found)} Nothing was started.", _memory_advice(found)[0],
    )


def memory_text(found: Outlook) -> str:
    """Needed, free, and the largest terms."""
    room = found.room
    largest = sorted(found.plan.terms, key=lambda term: -term.bytes)[:SHOWN_TERMS]
    terms = ", ".join(f"{term.name} {size(term.bytes)}" for term in largest)
    unloaded = ""
    if room.unloaded:
        unloaded = f" once Ollama has unloaded the base ({size(room.unloaded)})"
    return (
        f"About {size(found.plan.total_bytes)} of {room.kind} are needed, "
        f"{size(room.available_bytes)} are free{unloaded} (most of it: {terms}; "
        "`tunedesk plan` tells every term)."
    )


def size_text(found: Outlook) -> str:
    """The finished model's size beside the base's."""
    usual, base = found.usual_bytes, found.base_bytes
    text = f"The finished model will take about {size(usual)} ({usual / base - 1:+.0%})"
    if found.largest_bytes > usual:
        text += f", at most {size(found.largest_bytes)} if the change turns out very small"
    return (
        f"{text}; the base takes {size(base)}. A small change cannot be written back into the "
        "base's own number format."
    )


def _memory_advice(found: Outlook) -> list[str]:
    room, total = found.room, found.plan.total_bytes
    card = [f"{room.why_no_card} The run uses the processor."] if room.why_no_card else []
    if found.fits:
        free = size(room.available_bytes)
        return [f"The run fits the {room.kind}: {size(total)} of {free}.", *card]
    sentences = [
        f"{lever.text}: then {size(lever.total_bytes)} are needed and it fits."
        if lever.suffices else f"{lever.text}: then still {size(lever.total_bytes)} are needed."
        for lever in found.levers
    ]
    if not any(lever.suffices for lever in found.levers):
        sentences.insert(0, (
            f"No single setting makes it fit ({size(total)} are needed, "
            f"{size(room.available_bytes)} are free): choose a smaller model, or change several."
        ))
    return [*sentences, *card]


def _disk_advice(found: Outlook) -> list[str]:
    sentences = [
        f"{size(place.needed_bytes)} of disk are needed in {place.folder}, "
        f"{size(place.free_bytes)} are free: free some space or choose another --home."
        for place in found.places if not place.fits
    ]
    return [*sentences, f"About the disk: {found.import_why}."]
