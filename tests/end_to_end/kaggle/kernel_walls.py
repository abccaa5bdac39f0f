"""The walls of a Kaggle kernel, which its Python puts up at every start: a line of a .pth does it.

No network, and one folder to write in. Unlike modes of files they hold for root too, but only
against what Python itself opens: whoever tests behind them compares what the inputs hold as well.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, Final

WRITABLE: Final = (os.environ["KERNEL_WORKING"] + os.sep, "/dev/")  # devices hold nothing
WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
NETWORK: Final = {"socket.connect", "socket.getaddrinfo", "socket.sendto"}
# Events that change a folder → which arguments are a path, and the folder that it may start from.
CHANGES: Final = {
    "os.chmod": [(0, 2)],
    "os.link": [(1, 3)],
    "os.mkdir": [(0, 2)],
    "os.remove": [(0, 1)],
    "os.rename": [(0, 2), (1, 3)],
    "os.rmdir": [(0, 1)],
    "os.symlink": [(1, 2)],
}


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise what a kernel without a network and with read-only inputs would meet."""
    if event in NETWORK:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    if event == "open" and (arguments[2] or 0) & WRITING:
        _check(arguments[0], -1)
    for path, folder in CHANGES.get(event, ()):
        _check(arguments[path], arguments[folder])


def _check(path: str | bytes | int, folder: int) -> None:
    if isinstance(path, int):
        return  # opened before
    start = os.getcwd() if folder == -1 else os.readlink(f"/proc/self/fd/{folder}")  # noqa: PTH109, PTH115 - pathlib is not imported by every Python
    if not os.path.normpath(os.path.join(start, os.fsdecode(path))).startswith(WRITABLE):  # noqa: PTH118 - the same
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


sys.addaudithook(refuse)
