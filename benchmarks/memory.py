"""The most memory that a piece of work takes, other than a file's pages."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

WATCHED_S = 0.01  # between two looks at the memory


@contextlib.contextmanager
def watched() -> Iterator[Callable[[], float | None]]:
    """Look at this process's RssAnon again and again until the block ends.

    Yields:
        What tells the largest so far, in MB; None where the system does not tell.
    """
    seen = _rss_anon()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(WATCHED_S):
            seen.extend(_rss_anon())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: max(seen, default=None)
    finally:
        stop.set()
        watcher.join()


def _rss_anon() -> list[float]:
    """Anonymous memory now, in MB; empty where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:")]
