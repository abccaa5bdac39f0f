"""For tests that kill a process: the moments before it changes the disk, and a child to kill.

The changes are the real ones: Python announces each before it happens (PEP 578). Only fsync is not
announced, and is wrapped.
"""

from __future__ import annotations

import os
import sys
import traceback
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


def in_a_child(act: Callable[[], object]) -> int:
    """Act in a child process, which then ends: an error must not let it go on with other tests.

    Returns:
        Its exit code: 0, or 1 after an error, printed on stderr; the signal's number, negative,
        where one killed it.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        except BaseException:  # noqa: BLE001 - an interrupt too is for the parent to handle
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
