"""The work store: what runs over images have embedded so far, so that the same command goes on.

WORK/lock                    held by the one run that uses the folder
WORK/worker-<n>.log          what the worker process of a device printed
WORK/resized/                images that several passes of a run share; gone when it ends
WORK/images-<list>.json      a list of images: name, size and time of change of each
WORK/<key>/<list>/           an entry: the vectors of that list, see `ensembler.work.entry`

A key is the digest of all that a vector depends on beside its image: adapter, config, checkpoint,
preprocessing, releases of the code, device and precision. So a run finds what any earlier one has
done of the same, and a list that shares images with an earlier one begins with their rows.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ensembler.errors import InputError, first_few
from ensembler.files import locked, sha256_json
from ensembler.work.disk import write_json, written
from ensembler.work.entry import Entry, find_entry, make_entry

RESIZED: Final = "resized"
_LOCK: Final = "lock"
_KEY: Final = 24  # hex digits of a digest that name a folder
_OURS: Final = re.compile(
    rf"{_LOCK}|{RESIZED}|worker-\d+\.log|\.?images-[0-9a-f]{{{_KEY}}}\.json(\.partial)?"
    rf"|[0-9a-f]{{{_KEY}}}"
)


@dataclass(frozen=True, kw_only=True)
class WorkStore:
    """A work folder that this run holds.

    Attributes:
        path: the folder.
    """

    path: Path

    def find(self, made_from: Mapping[str, Any], images: Sequence[str]) -> Entry | None:
        """The entry that earlier runs left, of this list of images or another; None without one.

        Args:
            made_from: all that a vector depends on beside its image, as JSON has it.
            images: of each image, what changes when it does; no two are alike.

        Raises:
            WorkError: the folder cannot be written.
        """
        folder = self._folder(made_from, images)
        found = find_entry(folder, len(images))
        others = [] if found is not None else list(self._others(folder))
        if others:
            return self._make(made_from, images, others[0][0].dim)
        return found

    def entry(self, made_from: Mapping[str, Any], images: Sequence[str], dim: int) -> Entry:
        """The entry that earlier runs left, or a new one.

        Args:
            made_from: as for `find`.
            images: likewise.
            dim: numbers in a vector.

        Raises:
            WorkError: the folder cannot be written.
        """
        found = self.find(made_from, images)
        if found is not None and found.dim == dim:
            return found
        return self._make(made_from, images, dim)

    def remove(self, entry: Entry) -> None:
        """Take an entry away, and what other lists of the same key have left.

        Raises:
            WorkError: the folder cannot be written.
        """
        with written(self.path):
            shutil.rmtree(entry.folder.parent)
            used = {folder.name for folder in self.path.glob("*/*")}
            for path in self.path.glob("images-*.json"):
                if path.stem.removeprefix("images-") not in used:
                    path.unlink()

    def _make(self, made_from: Mapping[str, Any], images: Sequence[str], dim: int) -> Entry:
        """A new entry, with the rows of images that other lists of the same key have too."""
        folder = self._folder(made_from, images)
        with written(folder):
            write_json(self._list(folder.name), images)
            shutil.rmtree(folder, ignore_errors=True)
            entry = make_entry(folder, made_from, len(images), dim)
        row = {image: number for number, image in enumerate(images)}
        for other, theirs in self._others(folder):
            if other.dim == dim:
                entry.take_over(other, {n: row[one] for n, one in enumerate(theirs) if one in row})
        return entry

    def _others(self, folder: Path) -> Iterator[tuple[Entry, list[str]]]:
        """The entries of the same key as a folder's, each with its list of images."""
        beside = sorted(folder.parent.iterdir()) if folder.parent.is_dir() else []
        for place in beside:
            if place != folder and self._list(place.name).is_file():
                images = json.loads(self._list(place.name).read_bytes())
                entry = find_entry(place, len(images))
                if entry is not None:
                    yield entry, images

    def _folder(self, made_from: Mapping[str, Any], images: Sequence[str]) -> Path:
        return self.path / sha256_json(made_from)[:_KEY] / sha256_json(images)[:_KEY]

    def _list(self, listed: str) -> Path:
        return self.path / f"images-{listed}.json"


@contextmanager
def open_work(path: str | Path) -> Iterator[WorkStore]:
    """Hold a work folder, made where it is not there, until the block ends.

    A folder without an entry, as a refusal leaves it, is taken away then.

    Args:
        path: the folder.

    Raises:
        WorkError: it cannot be made or written.
        InputError: another run holds it, or it holds what no run puts there.
    """
    folder = Path(path)
    with ExitStack() as held:
        with written(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _check_contents(folder)
            _hold(folder / _LOCK, held)
        try:
            yield WorkStore(path=folder)
        finally:
            _leave(folder)


def _check_contents(folder: Path) -> None:
    """Refuse a folder of the user's own: what a run takes away again must be a run's."""
    foreign = sorted(path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name))
    if foreign:
        raise InputError(
            f"{folder} holds {first_few(foreign)}, which no run keeps in a work folder; name a"
            " folder of its own with --work"
        )


def _hold(lock: Path, held: ExitStack) -> None:
    lock.touch()
    before = lock.stat()
    try:
        held.enter_context(locked(lock, wait=False))
        is_ours = os.path.samestat(before, lock.stat())  # a run that ends may take its lock along
    except (BlockingIOError, FileNotFoundError):
        is_ours = False
    if not is_ours:
        raise InputError(
            f"another run is at work in {lock.parent}: wait for its end, or name another folder"
            " with --work"
        )


def _leave(folder: Path) -> None:
    with suppress(OSError):  # it is gone already, or another's to clear
        if [path.name for path in folder.iterdir()] == [_LOCK]:
            (folder / _LOCK).unlink()
            folder.rmdir()
