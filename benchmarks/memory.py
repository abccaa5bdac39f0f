"""The peak memory of a piece of work, without pages of files."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

WATCHED_S = 0.01  # seconds between two measurements


@contextlib.contextmanager
def watched() -> Iterator[Callable[[], float | None]]:
    """Measure this process's RssAnon repeatedly until the block ends.

    Yields:
        A function that returns the peak so far in MB; None where the system does not report it.
    """
    measured = _rss_anon()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(WATCHED_S):
            measured.extend(_rss_anon())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: max(measured, default=None)
    finally:
        stop.set()
        watcher.join()


def _rss_anon() -> list[float]:
    """The anonymous memory now, in MB; empty where the system does not report it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:")]
