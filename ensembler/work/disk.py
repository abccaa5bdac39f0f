"""Writing to a work folder: every byte on the disk, or an error that says what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ensembler.errors import InputError
from ensembler.files import atomic_write, canonical_json, is_full


class WorkError(InputError):
    """The work folder cannot be written: no member is to blame, and the run cannot go on."""


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """Turn a failure to write into an error that says what to do.

    Args:
        folder: what the block writes to.

    Raises:
        WorkError: for an OSError of the block.
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
    """What to do about a folder that cannot be written: a full disk is no read-only one."""
    no_room = is_full(error) or error.errno == errno.EFBIG  # a file's size may be limited too
    return "make room there" if no_room else "make it writable"


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte: a nearly full disk takes some and says so in the return value only.

    Raises:
        OSError: it takes no more.
    """
    while content:
        content = content[os.write(descriptor, content) :]


def write_json(path: Path, document: object) -> None:
    """Write a document; it appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_write(path) as file:
        file.write(canonical_json(document))
