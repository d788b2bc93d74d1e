"""Fault tests are skipped, with the reason in the report, where no fault can be made."""

import pytest

from tests.faults.machine import reason_against


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marker asks for what this machine does not allow."""
    for marker in item.iter_markers():
        if reason := reason_against(marker.name):
            pytest.skip(f"SKIPPED FAULT TEST: {reason}")
