"""What is known of images beside their vectors: a line of JSON for each batch there is a word on.

Lines are appended, by several processes perhaps. What a kill or a full disk cuts off stays alone,
because each line begins with a break of its own, and is passed over: the images it was about are
still pending.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from ensembler.store.model import Frozen
from ensembler.work.disk import write_all


class Note(Frozen):
    """What is known of a batch, or of several; positions are those of images."""

    captions: dict[int, str] = Field(default_factory=dict)
    unreadable: dict[int, str] = Field(default_factory=dict)  # position → why
    images: int = 0  # that took the seconds; 0 where nobody timed them
    seconds: float = 0.0


NOTHING = Note()


def append_note(path: Path, note: Note) -> None:
    """Write a note to the end of a file; it is on disk when this returns.

    Raises:
        OSError: the file cannot be written.
    """
    if note == NOTHING:
        return
    with path.open("ab", buffering=0) as file:
        write_all(file.fileno(), f"\n{note.model_dump_json()}\n".encode())
        os.fsync(file.fileno())


def read_notes(path: Path) -> Note:
    """All notes of a file as one."""
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
