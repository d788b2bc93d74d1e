"""Real PDFs of the data folder: no crash, no hang, each file ends in one outcome."""

from collections import Counter
from pathlib import Path

import pytest

from converters.documents.child import DocumentChild
from converters.documents.outcome import Outcome

pytestmark = pytest.mark.data

_KINDS = {"text", "partly text", "no text", "encrypted", "damaged"}


def _outcomes(folder: Path) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    with DocumentChild() as child:
        for path in sorted(folder.glob("*.pdf")):
            reading = child.read(path)
            pages = [page for page in reading if len(page.boxes) == len(page.text)]
            assert len(pages) == sum(reading.outcome.verdicts.values()), path.name
            outcomes[path.name] = reading.outcome
    assert outcomes, f"no PDFs in {folder}"
    return outcomes


def test_f27_malformed_public_pdfs_end_in_one_outcome_each(data_folder: Path) -> None:
    outcomes = _outcomes(data_folder / "awkward_pdfs")
    assert len(outcomes) == 240
    assert {name: o.bug for name, o in outcomes.items() if o.bug} == {}
    assert {o.kind for o in outcomes.values()} <= _KINDS
    counts = Counter(outcome.kind for outcome in outcomes.values())
    assert counts["damaged"] <= 5
    assert counts["encrypted"] == 2
    assert counts["text"] >= 130


@pytest.mark.parametrize("name", ["uda_sample", "mmlongbench_small/documents"])
def test_reports_and_papers_are_text(data_folder: Path, name: str) -> None:
    outcomes = _outcomes(data_folder / name)
    assert {name: o.bug for name, o in outcomes.items() if o.bug} == {}
    assert {o.kind for o in outcomes.values()} <= {"text", "partly text"}
    assert all(not outcome.lost for outcome in outcomes.values())


