"""Proof "ids": the file reads every text as the tokens that were trained."""

from collections.abc import Mapping, Sequence

from desktop.core.records import Record
from desktop.proof.report import Proof, proof_of_differences


class IdPair(Record):
    """One text: the ids trained on (or the base's), and libllama's ids on the exported file."""

    name: str
    trained: tuple[int, ...]
    exported: tuple[int, ...]


class CountPair(Record):
    """One prompt: the server's `prompt_eval_count` and libllama's count of the rendered text."""

    server: int
    ours: int


def judge_ids(
    base_keys: Mapping[str, bytes], file_keys: Mapping[str, bytes],
    pairs: Sequence[IdPair], counts: Sequence[CountPair] | None,
) -> Proof:
    """Vocabulary keys byte for byte, ids of held-out rows and hard strings, and prompt counts.

    `counts` is None without a server: the count is then named in the detail, not passed.
    """
    faults = [
        f"vocabulary key {key} differs" for key in sorted(base_keys.keys() | file_keys.keys())
        if base_keys.get(key) != file_keys.get(key)
    ]
    differences = [
        f'"{pair.name}": {len(pair.exported)} ids instead of {len(pair.trained)}, or other ones'
        for pair in pairs if pair.trained != pair.exported
    ]
    remarks = [f"{len(base_keys)} vocabulary keys"]
    if counts is None:
        remarks.append("the server's token count was left out: no server")
    else:
        faults += [
            f"the server counts {pair.server} prompt tokens, libllama {pair.ours}"
            for pair in counts if pair.server != pair.ours
        ]
        remarks.append(f"{len(counts)} prompt counts compared")
    is_empty = not base_keys or counts == []
    return proof_of_differences(
        0 if is_empty else len(pairs), differences, "texts with equal ids", *remarks, faults=faults
    )
