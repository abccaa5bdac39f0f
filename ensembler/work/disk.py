"""Writing to a work folder: every byte on the disk, or an error that says what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ensembler.errors import InputError
from ensembler.files import atomic_write, canonical_json


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
            " kept: make room there and run the same command again, or name another folder with"
            " --work"
        ) from error


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
