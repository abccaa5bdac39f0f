"""One fit at a time writes a journal, and says which when it cannot."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ensembler.errors import StudyError
from ensembler.files import locked

LOOKS = 9  # at a name that comes and goes, before it is given up


@contextlib.contextmanager
def sole_writer(path: Path) -> Iterator[bool]:
    """Hold the file, which is made if need be.

    The fit that holds it may end, and rename it, between any two steps here: what counts is what
    bears the name once it is held.

    Yields:
        Whether it was there before.
    """
    with contextlib.ExitStack() as held:
        for _ in range(LOOKS):
            try:
                found, file = _found_or_made(path)
                held.enter_context(locked(path, wait=False))
                if os.path.samestat(file, path.stat()):
                    break
            except (FileExistsError, FileNotFoundError):
                pass
            except BlockingIOError as error:
                raise StudyError(_written(path)) from error
            held.close()
        else:
            raise StudyError(_written(path))
        yield found


def _found_or_made(path: Path) -> tuple[bool, os.stat_result]:
    """Whether the file was there, and which it is.

    Raises:
        FileExistsError, FileNotFoundError: it came or went in between.
        StudyError: it cannot be written.
    """
    found = path.exists()
    with told(path), path.open("r+b" if found else "xb") as file:
        return found, os.fstat(file.fileno())


def _written(path: Path) -> str:
    return f"another fit is writing {path}; wait for it, or give --spec another name"


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Name the journal when the disk does not take it."""
    try:
        yield
    except (FileExistsError, FileNotFoundError):  # a matter of its name
        raise
    except OSError as error:
        raise StudyError(
            f"{path} cannot be written ({error.strerror}); make room for it, or give --spec a"
            " folder that can be written; trials recorded so far are kept for --resume"
        ) from error
