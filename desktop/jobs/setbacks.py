"""What a job says when its memory ran out or its graphics card failed, and how it may go on."""

from converters.errors import UserError
from converters.events import Checkpoint, Failed
from desktop.jobs.accept import Offer, make_offer
from desktop.jobs.folder import JobFolder
from desktop.jobs.journal import read_entries
from finetune.relief import Relief, offer_text

GPU_TITLES = ("The GPU", "The graphics card")
OFFER = "Accept the offer and continue: "


def offered(folder: JobFolder, error: UserError, now: Relief, offer: Relief | None) -> UserError:
    """The error of a job whose memory ran out, with the command that accepts its offer (F1)."""
    if offer is None:
        return error
    what = offer_text(now, offer).removeprefix(OFFER)
    make_offer(folder, Offer(relief=offer, text=what[0].upper() + what[1:]))
    return UserError(
        error.title, error.detail, f"{error.hint} tunedesk jobs resume {folder.id} --accept"
    )


def gpu_failed(folder: JobFolder, error: UserError) -> UserError:
    """The error of a job whose card failed: resume once, then look at the card (F2)."""
    if not failed_before(folder):
        return UserError(
            error.title, error.detail, f"{error.hint} tunedesk jobs resume {folder.id}"
        )
    return UserError(
        error.title,
        f"{error.detail} It failed for the second time without a new checkpoint between.",
        "Do not resume before the computer was restarted and the card tested (`nvidia-smi -q` "
        "names its errors).",
    )


def failed_before(folder: JobFolder) -> bool:
    """Whether the card failed already since the newest checkpoint."""
    failed = False
    for entry in read_entries(folder.events)[0]:
        match entry.event:
            case Checkpoint():
                failed = False
            case Failed(title):
                failed = failed or title.startswith(GPU_TITLES)
    return failed
