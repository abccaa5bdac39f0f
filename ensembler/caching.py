"""The cache folder: what takes long to make is kept there, by content, until nobody uses it.

An entry is a file or folder named by the sha256 of all that decides it, so that none is ever out of
date; any can be deleted at any time. Its modification time is that of its last use.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from ensembler.files import locked

KEPT_DAYS = 30  # an entry not used for so long goes when another is made
OURS = re.compile(r"\.?[0-9a-f]{64}(\.npy)?(\.partial|\.lock)?")  # entries, drafts and locks


def cache_folder() -> Path:
    """Where entries are kept: `ENSEMBLER_CACHE`, else the user's cache folder.

    Returns:
        A folder that can be written; a temporary one, gone at exit, where the user's cannot.
    """
    chosen = os.environ.get("ENSEMBLER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(chosen) if chosen else Path(base) / "ensembler"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return _temporary_folder()


@contextmanager
def making(entry: Path) -> Iterator[None]:
    """Hold the place of an entry for the one process that makes it; old entries are dropped.

    Args:
        entry: a path in the cache folder; look again inside, for another process may have made it
            while this one waited.
    """
    lock = entry.with_name(f".{entry.name}.lock")
    lock.touch()
    with locked(lock):
        _evict(entry.parent)
        yield


def mark_used(entry: Path) -> None:
    """Note that an entry was used now, so that it is kept."""
    with suppress(OSError):  # it is another user's
        os.utime(entry)


def _evict(folder: Path) -> None:
    """Drop entries, drafts and locks that nobody has used for KEPT_DAYS; the rest is the user's."""
    oldest = time.time() - KEPT_DAYS * 86_400
    for path in folder.iterdir():
        with suppress(OSError):  # another process drops it too, or it is another user's
            if OURS.fullmatch(path.name) and path.stat().st_mtime < oldest:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


@cache
def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ensembler-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
