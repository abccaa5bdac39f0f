"""The moments before a process changes the disk, at which tests that kill it let it die.

The changes are the real ones: Python announces each before it happens (PEP 578). Only fsync is not
announced, and is wrapped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}


def is_change(event: str, args: tuple[Any, ...]) -> bool:
    """Whether an announced event changes the disk; a file that is opened to write counts."""
    if event != "open":
        return event in CHANGES
    return isinstance(args[2], int) and bool(args[2] & (os.O_WRONLY | os.O_RDWR))


def before_each_change(folder: Path, act: Callable[[], None]) -> None:
    """Call `act` before each change that this process makes: of files opened, those in a folder."""

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if is_change(event, args) and (event != "open" or str(args[0]).startswith(str(folder))):
            act()

    flush = os.fsync

    def counted_flush(descriptor: int) -> None:
        act()
        flush(descriptor)

    os.fsync = counted_flush  # type: ignore[assignment] # one argument, as it is called here
    sys.addaudithook(watch)
