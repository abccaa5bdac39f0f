"""The work folder of a dump: what is embedded so far, so that a killed run goes on.

    key.json     what the work belongs to: another dump is refused, once a batch is finished
    vectors      float32, (layers, samples, dim): every vector at the place of its sample
    batches      a line of JSON for each finished batch, after its vectors are on the disk
    averaged     float32, (rows, dim): where a fold has several checkpoints, the rows as stored

A batch counts when its line is whole. What a kill leaves of one is embedded again, by the same
batch boundaries, to the same bytes. The vectors are mapped only to be read: a full disk is an error
where a file is written, and the end of the process where a mapping is.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.dumping.plan import Pass
from ensembler.dumping.record import Batch, Made, Record
from ensembler.errors import InputError
from ensembler.files import atomic_write, canonical_json, locked, partial_path, sha256_json

KEY: Final = "key.json"
VECTORS: Final = "vectors"
BATCHES: Final = "batches"
AVERAGED: Final = "averaged"


class Work:
    """An open work folder, held by this process; made by `working_in`.

    Args:
        folder: it exists and is locked.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done = Record()
        self._samples = 0  # known when the work begins
        self._begun = False

    def begin(self, key: Mapping[str, Any], samples: int) -> None:
        """Go on with what the folder holds, or start it.

        Args:
            key: plain data that decides the vectors' bytes.
            samples: in the store.

        Raises:
            InputError: the folder holds another dump's work, or something else; or it is broken.
        """
        self._samples = samples
        place = self.folder / KEY
        ours = {VECTORS, BATCHES, AVERAGED, KEY} if place.exists() else set()
        if not {path.name for path in self.folder.iterdir()} <= {*ours, partial_path(place).name}:
            raise InputError(
                f"{self.folder} holds something, but no dump's work; name a folder of its own with"
                " --work"
            )
        self.done = self._read()
        self._begun = True
        if self.done.images:
            self._check_key(place, key)
            return
        self._clear()  # whose it was does not matter: nothing in it is finished
        self.done = Record()
        with _told(place), atomic_write(place) as file:
            file.write(canonical_json(dict(key)))

    def made(self, made: Made) -> None:
        """Record what the first predictor says of itself; hold the others against it.

        Raises:
            InputError: two checkpoints disagree.
        """
        if self.done.made is None:
            self._append(made)
            self.done.made = made
        elif self.done.made != made:
            raise InputError(
                "checkpoints of one member must agree, and one gives"
                f" {made.model_dump(mode='json')}, another"
                f" {self.done.made.model_dump(mode='json')}; make two members of them"
            )

    def record(
        self, one: Pass, positions: NDArray[np.int64], vectors: NDArray[np.float32], batch: Batch
    ) -> None:
        """Keep a batch, its vectors first.

        Args:
            one: the pass that it belongs to.
            positions: (k,) of its samples that have a vector, ascending.
            vectors: (k, dim).
            batch: the rest.

        Raises:
            InputError: the disk is full; what was recorded before stays.
        """
        little = np.ascontiguousarray(vectors, dtype="<f4")
        row = little.shape[1] * little.itemsize
        runs = np.flatnonzero(np.diff(positions) != 1) + 1  # neighbours go in one write
        with self._writing(VECTORS) as file:
            for run in np.split(np.arange(len(positions)), runs):
                if len(run):
                    place = one.layer * self._samples + int(positions[run[0]])
                    file.seek(place * row)
                    file.write(little[run].tobytes())
        self._append(batch)
        self.done.add(batch)

    def vectors(self, layers: int) -> NDArray[np.float32]:
        """What was embedded, memory-mapped: (layers, samples, dim) float32, zeros elsewhere."""
        made = self.done.made
        assert made is not None  # noqa: S101 - nothing is read before all is embedded
        shape = (layers, self._samples, made.dim)
        with self._writing(VECTORS) as file:
            file.truncate(4 * math.prod(shape))
        return np.memmap(self.folder / VECTORS, dtype="<f4", mode="r", shape=shape)

    def keep(
        self, blocks: Iterable[NDArray[np.float32]], shape: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Write vectors, a block of rows at a time; (rows, dim) float32, memory-mapped."""
        with self._writing(AVERAGED) as file:
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype="<f4").data)
            file.truncate()
        return np.memmap(self.folder / AVERAGED, dtype="<f4", mode="r", shape=shape)

    def remove(self) -> None:
        """Take the work away, once the store has it; the folder too, if it holds nothing else."""
        self._clear()
        with suppress(OSError):
            self.folder.rmdir()

    def leave(self) -> None:
        """Take away a folder in which no batch was finished, as after a predictor's refusal."""
        if self._begun and not self.done.images:
            self.remove()
        elif not self._begun:
            with suppress(OSError):  # it holds something
                self.folder.rmdir()

    def _clear(self) -> None:
        for name in (AVERAGED, BATCHES, VECTORS, KEY):  # the key last: it says whose the rest is
            (self.folder / name).unlink(missing_ok=True)

    def _check_key(self, place: Path, key: Mapping[str, Any]) -> None:
        try:
            held = json.loads(place.read_bytes())
            mine = json.loads(canonical_json(dict(key)))
            other = [name for name in sorted({*held, *mine}) if held.get(name) != mine.get(name)]
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{place} cannot be read ({error}); delete {self.folder} to begin anew"
            ) from error
        if other:
            raise InputError(
                f"{self.folder} holds the unfinished work of another dump (digest"
                f" {sha256_json(held)}, this one's is {sha256_json(mine)}): they differ in"
                f" {', '.join(other)}; finish that one, delete the folder, or name another with"
                " --work"
            )

    def _read(self) -> Record:
        """The record up to its last whole line; what a kill left behind that is cut off."""
        place = self.folder / BATCHES
        content = place.read_bytes() if place.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(place, len(whole))
        record = Record()
        try:
            for number, line in enumerate(whole.splitlines()):
                if number == 0:
                    record.made = Made.model_validate_json(line)
                else:
                    record.add(Batch.model_validate_json(line))
        except ValueError as error:
            raise InputError(
                f"{place} is damaged; delete {self.folder} to begin anew: {error}"
            ) from error
        return record

    def _append(self, line: Made | Batch) -> None:
        with self._writing(BATCHES) as file:
            file.seek(0, os.SEEK_END)
            file.write((line.model_dump_json() + "\n").encode())

    @contextmanager
    def _writing(self, name: str) -> Iterator[BinaryIO]:
        """Open a file of the folder to change it; on the disk when the block ends."""
        place = self.folder / name
        with _told(place):
            place.touch()
            with place.open("r+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def working_in(folder: Path) -> Iterator[Work]:
    """Hold a work folder for one process.

    Args:
        folder: made where it does not exist.

    Raises:
        InputError: another process works there, or it cannot be written.
    """
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(folder, wait=False))
        except BlockingIOError as error:
            raise InputError(
                f"another run is at work in {folder}; wait for it, or name another folder with"
                " --work"
            ) from error
        except OSError as error:
            raise InputError(
                f"{folder} cannot be a work folder: {error}; name another with --work"
            ) from error
        work = Work(folder)
        try:
            yield work
        finally:
            work.leave()


@contextmanager
def _told(place: Path) -> Iterator[None]:
    """Turn a failure to write into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{place} cannot be written: {error}; free space and run the same command again: what"
            " was embedded is kept"
        ) from error
