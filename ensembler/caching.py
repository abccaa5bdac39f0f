"""The cache folder: content-addressed entries that are expensive to make.

An entry is a file or folder named by the sha256 of everything that decides its content, so none is
ever out of date; any can be deleted at any time. Its modification time is that of its last use.
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

KEPT_DAYS = 30  # an entry unused for longer is removed when another is made
OURS = re.compile(r"\.?[0-9a-f]{64}(\.npy)?(\.partial|\.lock)?")  # entries, drafts and locks


def cache_folder() -> Path:
    """The folder that holds entries: `ENSEMBLER_CACHE`, else the user's cache folder.

    Returns:
        A writable folder; a temporary one, removed at exit, where the chosen one is not writable.
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
def lock_entry(entry: Path) -> Iterator[None]:
    """Let one process at a time make an entry; entries past KEPT_DAYS are removed.

    Args:
        entry: a path in the cache folder. Check again inside the block whether it exists: another
            process may have made it while this one waited.
    """
    lock = entry.with_name(f".{entry.name}.lock")
    lock.touch()
    with locked(lock):
        _evict(entry.parent)
        yield


def mark_used(entry: Path) -> None:
    """Set the time of an entry's last use to now, so that it is kept."""
    with suppress(OSError):  # it belongs to another user
        os.utime(entry)


def _evict(folder: Path) -> None:
    """Remove entries, drafts and locks unused for KEPT_DAYS; other files are the user's."""
    oldest = time.time() - KEPT_DAYS * 86_400
    for path in folder.iterdir():
        with suppress(OSError):  # another process removes it too, or it belongs to another user
            if OURS.fullmatch(path.name) and path.stat().st_mtime < oldest:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


@cache
def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ensembler-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
