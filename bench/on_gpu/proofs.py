"""The tests marked `gpu`, a row for each as soon as it has ended. A rehearsal runs a few, which test the part."""

from __future__ import annotations

from pathlib import Path

import pytest

from on_gpu.given import Given
from on_gpu.machine import describe

TESTS = Path(__file__).parent.parent.parent / "tests" / "gpu"
REHEARSED = "test_search_finds_the_same or test_packed_is_padded or test_compiling_changes_nothing"
"""Tests of a rehearsal, of both files; the last is skipped on a CPU. The test suite runs all of them there."""


class Rows:
    """A plugin of pytest that writes rows."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Writes a test's row; one that fails before or after itself has failed, too."""
        if report.when == "call" or report.outcome != "passed":
            outcome = "failed" if report.outcome == "failed" else report.outcome
            self.counts[outcome] += 1
            name = report.nodeid.rpartition("/")[2]
            self._given.record(name, outcome=outcome, seconds=round(report.duration, 2))


def main(given: Given) -> None:
    """Runs the tests."""
    describe(given)
    rows = Rows(given)
    chosen = ["-k", REHEARSED] if given.toy else []
    code = pytest.main([str(TESTS), "-m", "gpu", *chosen, "-q", "-p", "no:cacheprovider"], plugins=[rows])
    whole = code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and sum(rows.counts.values())
    given.record("all" if whole else "not run", **rows.counts, exit_code=int(code))
    if code != pytest.ExitCode.OK:
        raise SystemExit(1)
