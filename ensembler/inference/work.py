"""The work store: what runs over a folder of images have embedded so far.

WORK/lock                            held by the one run that uses the folder
WORK/worker-<n>.log                  what the worker process of a device printed
WORK/images-<list>.json              a list of images: name, size and time of change of each
WORK/<key>/<list>/entry.json         what the vectors are of, the batch size, and how many images
                                     the device took at once
WORK/<key>/<list>/vectors.f32        (images, d) little-endian float32, zero where there is none
WORK/<key>/<list>/state.u8           (images,) one byte each: PENDING, EMBEDDED, UNREADABLE
                                     or NOT_FINITE

A key is the digest of all that a vector depends on beside its image: adapter, config, checkpoint,
preprocessing, releases of the code, kind of device and precision. So another spec over the same
members finds them done, and a list that shares images with an earlier one begins with their rows.

A row's state is written after its vector has reached the disk: a kill at any moment leaves each row
done or not done. Rows are written by position, not through a map, so that a full disk is an error
and not the end of the process.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError
from ensembler.files import atomic_write, canonical_json, locked, sha256_json

PENDING: Final = 0
EMBEDDED: Final = 1
UNREADABLE: Final = 2  # the image could not be decoded; a run that can tries again
NOT_FINITE: Final = 3  # its vector is NaN or infinite
BARREN: Final = 32  # images that, all without a finite vector, tell that the weights are broken

_BYTES: Final = 4  # of a float32
_KEY: Final = 24  # hex digits of a digest that name a folder


class WorkError(InputError):
    """The work folder cannot be written: no member is to blame, and the run cannot go on."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The vectors of one checkpoint on one list of images.

    Attributes:
        folder: where they are.
        images: how many images there are.
        dim: numbers in a vector.
    """

    folder: Path
    images: int
    dim: int

    def state(self) -> NDArray[np.uint8]:
        """(images,) what has become of each."""
        return np.fromfile(self.folder / "state.u8", dtype=np.uint8)

    def is_whole(self) -> bool:
        """Whether nothing is left to do."""
        return bool((self.state() != PENDING).all())

    def is_barren(self) -> bool:
        """Whether so many images were tried, and not one has a finite vector."""
        state = self.state()
        tried = int((state == NOT_FINITE).sum())
        return tried >= BARREN and not (state == EMBEDDED).any()

    def pending(self, batch: int) -> NDArray[np.int64]:
        """Positions of the images in the batches that are still to do, ascending.

        Batches lie on one grid over all images, and one that was cut short is done again as a
        whole: so each holds the same images in every run, and gives the same bytes.
        """
        starts = np.arange(0, self.images, batch)
        left = np.logical_or.reduceat(self.state() == PENDING, starts)
        return np.flatnonzero(np.repeat(left, batch)[: self.images])

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """(images, d) float32, memory-mapped for reading."""
        shape = (self.images, self.dim)
        mapped: NDArray[np.float32] = np.memmap(self.folder / "vectors.f32", "<f4", "r", 0, shape)
        return mapped

    def write(
        self,
        positions: NDArray[np.int64],
        vectors: NDArray[np.float32],
        unreadable: Sequence[int] = (),
        not_finite: Sequence[int] = (),
    ) -> None:
        """Keep vectors; they are on disk when this returns.

        Args:
            positions: (k,) int64 of the images.
            vectors: (k, d) float32, finite.
            unreadable: positions of images that cannot be decoded.
            not_finite: positions of images whose vector is NaN or infinite.

        Raises:
            WorkError: the disk is full, or the folder cannot be written.
        """
        with _written(self.folder):
            with (self.folder / "vectors.f32").open("r+b", buffering=0) as file:
                for position, row in zip(positions, vectors.astype("<f4"), strict=True):
                    file.seek(int(position) * self.dim * _BYTES)
                    _write_all(file.fileno(), row.tobytes())
                os.fsync(file.fileno())
            self._mark(positions, EMBEDDED)
            self._mark(unreadable, UNREADABLE)
            self._mark(not_finite, NOT_FINITE)

    def try_again(self, can_be_read: Callable[[int], bool]) -> None:
        """Make pending what another run need not fail at.

        That is an image that can be read by now: a file that was locked, or a disk that was away,
        is no fault of the image. And it is all, where not a single image has a vector.

        Args:
            can_be_read: of the image at a position.

        Raises:
            WorkError: the folder cannot be written.
        """
        state = self.state()
        again = [n for n in np.flatnonzero(state == UNREADABLE).tolist() if can_be_read(n)]
        if not (state == EMBEDDED).any():
            again += np.flatnonzero(state == NOT_FINITE).tolist()
        with _written(self.folder):
            self._mark(again, PENDING)

    def batch(self) -> int | None:
        """The batch size that the vectors were made with; None before it is known."""
        size: int | None = self._document()["batch"]
        return size

    def limit(self) -> int | None:
        """How many images the device took at once; None where it refused none."""
        images: int | None = self._document()["limit"]
        return images

    def record(self, **known: int | None) -> None:
        """Keep `batch` or `limit`, so that a run that goes on takes the same.

        Raises:
            WorkError: the folder cannot be written.
        """
        with _written(self.folder):
            _write_json(self.folder / "entry.json", self._document() | known)

    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "entry.json").read_bytes())
        return document

    def _mark(self, positions: Iterable[int], state: int) -> None:
        with (self.folder / "state.u8").open("r+b", buffering=0) as file:
            for position in positions:
                file.seek(int(position))
                _write_all(file.fileno(), bytes([state]))


@dataclass(frozen=True, kw_only=True)
class WorkStore:
    """A work folder that this run holds.

    Attributes:
        path: the folder.
    """

    path: Path

    def entry(self, made_from: Mapping[str, Any], images: Sequence[str], dim: int) -> Entry:
        """The entry of one checkpoint, new or as an earlier run left it.

        Args:
            made_from: all that a vector depends on beside its image, as JSON has it.
            images: of each image, what changes when it does.
            dim: numbers in a vector.

        Raises:
            WorkError: the folder cannot be written.
        """
        listed = sha256_json(images)[:_KEY]
        folder = self.path / sha256_json(made_from)[:_KEY] / listed
        entry = Entry(folder=folder, images=len(images), dim=dim)
        if not _is_whole(entry):
            with _written(folder):
                _write_json(self._list(listed), images)
                _create(entry, made_from)
            self._carry_over(entry, images)
        return entry

    def _carry_over(self, entry: Entry, images: Sequence[str]) -> None:
        """Take over the rows of images that other lists of the same checkpoint have too."""
        row = {image: number for number, image in enumerate(images)}
        for folder in sorted(entry.folder.parent.iterdir()):
            if folder == entry.folder or not self._list(folder.name).is_file():
                continue
            theirs = json.loads(self._list(folder.name).read_bytes())
            other = Entry(folder=folder, images=len(theirs), dim=entry.dim)
            if not _is_whole(other):
                continue
            state = other.state()
            shared = [n for n, image in enumerate(theirs) if image in row and state[n] != PENDING]
            there = np.array([n for n in shared if state[n] == EMBEDDED], dtype=np.int64)
            here = np.array([row[theirs[n]] for n in there], dtype=np.int64)
            unreadable, not_finite = (
                [row[theirs[n]] for n in shared if state[n] == failed]
                for failed in (UNREADABLE, NOT_FINITE)
            )
            entry.write(here, other.vectors[there], unreadable, not_finite)

    def _list(self, listed: str) -> Path:
        return self.path / f"images-{listed}.json"


@contextmanager
def open_work(path: str | Path) -> Iterator[WorkStore]:
    """Hold a work folder, made where it is not there, until the block ends.

    Args:
        path: the folder.

    Raises:
        WorkError: it cannot be made or written.
        InputError: another run holds it.
    """
    folder = Path(path)
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lock").touch()
    try:
        with locked(folder / "lock", wait=False):
            yield WorkStore(path=folder)
    except BlockingIOError as error:
        raise InputError(
            f"another run is at work in {folder}: wait for its end, or name another folder with"
            " --work"
        ) from error


def _is_whole(entry: Entry) -> bool:
    """Whether the files are there in their full sizes; entry.json is written last."""
    sizes = {
        "entry.json": None,
        "state.u8": entry.images,
        "vectors.f32": entry.images * entry.dim * _BYTES,
    }
    files = {entry.folder / name: size for name, size in sizes.items()}
    return all(f.is_file() and size in (None, f.stat().st_size) for f, size in files.items())


def _create(entry: Entry, made_from: Mapping[str, Any]) -> None:
    shutil.rmtree(entry.folder, ignore_errors=True)
    entry.folder.mkdir(parents=True)
    sizes = {"state.u8": entry.images, "vectors.f32": entry.images * entry.dim * _BYTES}
    for name, size in sizes.items():
        with (entry.folder / name).open("wb") as file:
            file.truncate(size)
    _write_json(entry.folder / "entry.json", {"made_from": made_from, "batch": None, "limit": None})


def _write_json(path: Path, document: object) -> None:
    with atomic_write(path) as file:
        file.write(canonical_json(document))


def _write_all(descriptor: int, content: bytes) -> None:
    """Write every byte: a nearly full disk takes some and says so in the return value only."""
    while content:
        content = content[os.write(descriptor, content) :]


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    """Turn a failure to write into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise WorkError(
            f"{folder} cannot be written ({error.strerror or error}); what is embedded so far is"
            " kept: make room there and run the same command again, or name another folder with"
            " --work"
        ) from error
