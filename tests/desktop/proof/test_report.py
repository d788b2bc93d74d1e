"""What a report says and when a proof counts as failed."""

from desktop.proof.report import (
    Check,
    Proof,
    ProofReport,
    proof_of_checks,
    proof_of_differences,
    skipped,
)


def test_a_check_fails_outside_its_bounds_and_on_nan():
    assert Check(name="x", figure=1.0, low=0.9, high=1.1).passes
    assert not Check(name="x", figure=1.2, high=1.1).passes
    assert not Check(name="x", figure=float("nan"), high=1.1).passes


def test_the_failed_check_leads_the_detail_and_gives_figure_and_bound():
    proof = proof_of_checks([
        Check(name="fine", figure=0.1, high=1), Check(name="bad", figure=3.0, high=2.0),
    ], "12 rows")
    assert proof == Proof(
        status="failed", figure=3.0, bound=2.0,
        detail="bad 3 (at most 2); fine 0.1 (at most 1); 12 rows",
    )


def test_differences_are_counted_and_the_first_three_named():
    proof = proof_of_differences(10, ["a", "b", "c", "d"], "texts equal")
    assert (proof.status, proof.figure) == ("failed", 4)
    assert proof.detail == "6 of 10 texts equal; a; b; c"


def test_nothing_compared_is_a_failure():
    assert proof_of_differences(0, [], "texts equal").status == "failed"


def test_a_skipped_proof_is_neither_failed_nor_passed():
    passed = Proof(status="passed", figure=0, bound=0, detail="all equal")
    report = ProofReport(text=skipped("no server"), ids=passed, logits=passed, delta=passed)
    assert report.failed == ()
    assert report.lines()[0] == "text   skipped no server"
