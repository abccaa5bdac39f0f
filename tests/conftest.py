"""What every test stands on: the real data's place, a cache of its own, no unexplained skip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
NEEDS_SHARED = "needs ../shared"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Statistics go to a folder of this run, not to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENSEMBLER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip is a failure, save for data that the place does not have."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    reasons = {report.longrepr[2] for report in reporter.stats.get("skipped", ())}
    allowed = set() if SHARED.is_dir() else {f"Skipped: {NEEDS_SHARED}"}
    for reason in sorted(reasons - allowed):
        reporter.write_line(f"unexplained skip: {reason}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
