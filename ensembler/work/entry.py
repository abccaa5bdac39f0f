"""An entry of the work folder: the vectors of a list of images, as far as they are embedded.

entry.json     what the vectors depend on, and what earlier runs learned, such as the batch size
vectors.f32    (images, d) little-endian float32, zero where a vector is missing
state.u8       (images,) one byte each: PENDING, EMBEDDED, UNREADABLE or NOT_FINITE
notes.jsonl    JSON lines about some of the batches: captions, reasons of failures, seconds

A row's state is written after its vector and its note have reached the disk: a kill at any moment
leaves each row done or not done. Several processes may write, each its own rows. Rows are written
by position, not through a memory map, so that a full disk raises an error and does not kill the
process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.work.disk import work_errors, write_all, write_json
from ensembler.work.notes import NOTHING, Note, append_note, read_notes

PENDING: Final = 0
EMBEDDED: Final = 1
UNREADABLE: Final = 2  # the image could not be decoded; a run that can decode it tries again
NOT_FINITE: Final = 3  # its vector is NaN or infinite
BARREN: Final = 32  # images that, all without a finite vector, show that the weights are broken

ENTRY: Final = "entry.json"
VECTORS: Final = "vectors.f32"
STATE: Final = "state.u8"
NOTES: Final = "notes.jsonl"
_BYTES: Final = 4  # of a float32


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The vectors of a list of images in a folder; found and made by a `WorkStore`.

    Attributes:
        folder: the entry's folder.
        images: number of images.
        dim: vector dimension.
    """

    folder: Path
    images: int
    dim: int

    def state(self) -> NDArray[np.uint8]:
        """The state of each image: (images,) uint8."""
        return np.fromfile(self.folder / STATE, dtype=np.uint8)

    def is_whole(self) -> bool:
        """Whether no image is pending."""
        return bool((self.state() != PENDING).all())

    def is_barren(self) -> bool:
        """Whether BARREN images were tried and none has a finite vector."""
        state = self.state()
        tried = int((state == NOT_FINITE).sum())
        return tried >= BARREN and not (state == EMBEDDED).any()

    def pending(self, batch: int, among: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Positions of the images in unfinished batches, ascending.

        Batches lie on a fixed grid, and an interrupted batch is done again as a whole: so a batch
        holds the same images in every run, and gives the same bytes.

        Args:
            batch: images per batch.
            among: ascending positions that the grid is laid over; None for all.
        """
        over = np.arange(self.images) if among is None else among
        starts = np.arange(0, len(over), batch)
        unfinished = np.logical_or.reduceat(self.state()[over] == PENDING, starts)
        pending: NDArray[np.int64] = over[np.repeat(unfinished, batch)[: len(over)]]
        return pending

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors: (images, d) float32, memory-mapped for reading."""
        shape = (self.images, self.dim)
        mapped: NDArray[np.float32] = np.memmap(self.folder / VECTORS, "<f4", "r", 0, shape)
        return mapped

    def notes(self) -> Note:
        """The notes about the images that are done."""
        state, note = self.state(), read_notes(self.folder / NOTES)
        unreadable = np.flatnonzero(state == UNREADABLE).tolist()
        return note.model_copy(
            update={
                "captions": {n: text for n, text in note.captions.items() if state[n] == EMBEDDED},
                "unreadable": {n: note.unreadable.get(n, "could not be read") for n in unreadable},
            }
        )

    def write(
        self,
        positions: NDArray[np.int64],
        vectors: NDArray[np.float32],
        *,
        not_finite: Sequence[int] = (),
        note: Note = NOTHING,
    ) -> None:
        """Write a batch; it is on disk when this returns.

        Args:
            positions: (k,) int64, the images that have a vector.
            vectors: (k, d) float32, finite.
            not_finite: positions of images whose vector is NaN or infinite.
            note: images that cannot be read, captions and seconds.

        Raises:
            WorkError: the disk is full, or the folder cannot be written.
        """
        with work_errors(self.folder):
            with (self.folder / VECTORS).open("r+b", buffering=0) as file:
                for position, row in zip(positions, vectors.astype("<f4"), strict=True):
                    file.seek(int(position) * self.dim * _BYTES)
                    write_all(file.fileno(), row.tobytes())
                os.fsync(file.fileno())
            append_note(self.folder / NOTES, note)
            self._mark(
                dict.fromkeys(positions.tolist(), EMBEDDED)
                | dict.fromkeys(note.unreadable, UNREADABLE)
                | dict.fromkeys(not_finite, NOT_FINITE)
            )

    def take_over(self, other: Entry, rows: Mapping[int, int]) -> None:
        """Copy the finished rows of another entry.

        Args:
            other: an entry of the same key, with another list of images.
            rows: its positions → positions here, for the images that both have.

        Raises:
            WorkError: the folder cannot be written.
        """
        state, note = other.state(), other.notes()
        embedded = [n for n in rows if state[n] == EMBEDDED]
        self.write(
            np.array([rows[n] for n in embedded], dtype=np.int64),
            other.vectors[embedded],
            not_finite=[rows[n] for n in rows if state[n] == NOT_FINITE],
            note=Note(
                captions={rows[n]: text for n, text in note.captions.items() if n in rows},
                unreadable={rows[n]: why for n, why in note.unreadable.items() if n in rows},
            ),
        )
        self.record(**(other._document() | self._document()))

    def try_again(self, can_be_read: Callable[[int], bool]) -> None:
        """Make images pending again at which another run need not fail.

        These are images that can be read by now: a locked file or a missing disk is not the image's
        fault. Where no image at all has a vector, those whose vector was not finite are added.

        Args:
            can_be_read: whether the image at a position can be read now.

        Raises:
            WorkError: the folder cannot be written.
        """
        state = self.state()
        again = [n for n in np.flatnonzero(state == UNREADABLE).tolist() if can_be_read(n)]
        if not (state == EMBEDDED).any():
            again += np.flatnonzero(state == NOT_FINITE).tolist()
        with work_errors(self.folder):
            self._mark(dict.fromkeys(again, PENDING))

    def recorded(self, name: str) -> Any:  # noqa: ANN401 - plain data
        """The value that was recorded under a name; None before it was."""
        return self._document().get(name)

    def record(self, **values: object) -> None:
        """Keep plain data by name, such as the batch size, so that a resumed run uses the same.

        Raises:
            WorkError: the folder cannot be written.
        """
        with work_errors(self.folder):
            write_json(self.folder / ENTRY, self._document() | values)

    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / ENTRY).read_bytes())
        return document

    def _mark(self, states: Mapping[int, int]) -> None:
        with (self.folder / STATE).open("r+b", buffering=0) as file:
            for position, state in states.items():
                file.seek(position)
                write_all(file.fileno(), bytes([state]))


def make_entry(folder: Path, made_from: Mapping[str, Any], images: int, dim: int) -> Entry:
    """Make an entry with all images pending; entry.json is written last and makes it valid.

    Args:
        folder: the entry's folder; it must not exist.
        made_from: everything that a vector depends on beside its image, as JSON data.
        images: number of images.
        dim: vector dimension.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True)
    for name, size in {STATE: images, VECTORS: images * dim * _BYTES, NOTES: 0}.items():
        with (folder / name).open("wb") as file:
            file.truncate(size)
    write_json(folder / ENTRY, {"made_from": made_from, "dim": dim})
    return Entry(folder=folder, images=images, dim=dim)


def find_entry(folder: Path, images: int) -> Entry | None:
    """Open the entry in a folder; None where there is none, or a file of it is missing or cut.

    Args:
        folder: the entry's folder.
        images: number of images that it must have.
    """
    try:
        dim = int(json.loads((folder / ENTRY).read_bytes())["dim"])
        sizes = [(folder / name).stat().st_size for name in (STATE, VECTORS)]
        is_valid = sizes == [images, images * dim * _BYTES] and (folder / NOTES).is_file()
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return Entry(folder=folder, images=images, dim=dim) if is_valid else None
