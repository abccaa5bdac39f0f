"""Notes about images beside their vectors, one JSON line for each batch that has any.

Lines are appended, perhaps by several processes. A line that a kill or a full disk cut off stays by
itself, because each line begins with a break of its own; it is skipped, and its images are still
pending.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from ensembler.frozen import Frozen
from ensembler.work.disk import write_all


class Note(Frozen):
    """Captions, failures and seconds of one or more batches, by the images' positions."""

    captions: dict[int, str] = Field(default_factory=dict)
    unreadable: dict[int, str] = Field(default_factory=dict)  # position → reason
    images: int = 0  # number that took `seconds`; 0 where they were not timed
    seconds: float = 0.0


NOTHING = Note()


def append_note(path: Path, note: Note) -> None:
    """Append a note to a file; it is on disk when this returns.

    Raises:
        OSError: the file cannot be written.
    """
    if note == NOTHING:
        return
    with path.open("ab", buffering=0) as file:
        write_all(file.fileno(), f"\n{note.model_dump_json()}\n".encode())
        os.fsync(file.fileno())


def read_notes(path: Path) -> Note:
    """Read all notes of a file as one."""
    captions: dict[int, str] = {}
    unreadable: dict[int, str] = {}
    images, seconds = 0, 0.0
    for line in path.read_bytes().splitlines():
        try:
            note = Note.model_validate_json(line)
        except ValueError:
            continue
        captions |= note.captions
        unreadable |= note.unreadable
        images += note.images
        seconds += note.seconds
    return Note(captions=captions, unreadable=unreadable, images=images, seconds=seconds)
