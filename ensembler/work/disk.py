"""Writing to a work folder: every byte reaches the disk, or an error says what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ensembler.errors import InputError
from ensembler.files import atomic_write, canonical_json, is_full


class WorkError(InputError):
    """The work folder cannot be written: no member is at fault, and the run cannot go on."""


@contextmanager
def work_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError of the block into an error that says what to do.

    Args:
        folder: the folder that the block writes to.

    Raises:
        WorkError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise WorkError(
            f"{folder} cannot be written ({error.strerror or error}); what is embedded so far is"
            f" kept: {remedy(error)} and run the same command again, or name another folder with"
            " --work"
        ) from error


def remedy(error: OSError) -> str:
    """The advice for a folder that cannot be written, because it is full or read-only."""
    no_room = is_full(error) or error.errno == errno.EFBIG  # a file's size may be limited too
    return "make room there" if no_room else "make it writable"


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte; `os.write` alone may stop early on a nearly full disk.

    Raises:
        OSError: no more can be written.
    """
    while content:
        content = content[os.write(descriptor, content) :]


def write_json(path: Path, document: object) -> None:
    """Write a JSON document; it appears whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write(canonical_json(document))
