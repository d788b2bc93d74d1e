"""What a job offers after its memory ran out, and the person's yes to it (F1)."""

from converters.errors import UserError
from desktop.core.records import Record, read_record, write_record
from desktop.jobs.folder import JobFolder
from finetune.relief import Relief


class Offer(Record):
    """Content of `offer.json`, and of `relief.json` once it was accepted. text: what it means, in
    words."""

    relief: Relief
    text: str


def offer_text(folder: JobFolder) -> str:
    """The standing offer and how to accept it, "" if there is none."""
    if not folder.offer.exists():
        return ""
    offer = read_record(folder.offer, Offer)
    return f"{offer.text} Accept with: tunedesk jobs resume {folder.id} --accept"


def accept_offer(folder: JobFolder) -> str:
    """Accept the standing offer for every further run; a sentence that says what changes.

    Raises UserError if nothing was offered.
    """
    if not folder.offer.exists():
        raise UserError(
            f'The job "{folder.id}" offers nothing.',
            "Only a job whose memory ran out makes an offer.",
            f"Resume it without --accept: tunedesk jobs resume {folder.id}",
        )
    offer = read_record(folder.offer, Offer)
    write_record(folder.relief, offer)
    folder.offer.unlink()
    return f"Accepted: {offer.text}"


def make_offer(folder: JobFolder, offer: Offer) -> None:
    """Keep an offer until it is accepted."""
    write_record(folder.offer, offer)


def accepted(folder: JobFolder) -> Relief:
    """What was accepted so far; nothing changes without it."""
    return read_record(folder.relief, Offer).relief if folder.relief.exists() else Relief()
