"""The work store: the vectors that earlier runs embedded, from which the same command resumes.

WORK/lock                    held by the one run that uses the folder
WORK/worker-<n>.log          output of the worker process of a device
WORK/resized/                images that several passes of a run share; removed when it ends
WORK/images-<list>.json      a list of images: name, size and modification time of each
WORK/<key>/<list>/           an entry: the vectors of that list, see `ensembler.work.entry`

A key is the digest of everything that a vector depends on beside its image: adapter, config,
checkpoint, preprocessing, releases of the code, device and precision. So a run finds the vectors
that any earlier run made with the same key, and a list that shares images with an earlier one
begins with their rows.
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
from ensembler.work.disk import work_errors, write_json
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
        """Find the entry that earlier runs left for this list of images, or begin one from another.

        Args:
            made_from: everything that a vector depends on beside its image, as JSON data.
            images: the identity of each image, which changes when the image does; no two are equal.

        Returns:
            The entry; None where no list of images has one under this key.

        Raises:
            WorkError: the folder cannot be written.
        """
        folder = self._folder(made_from, images)
        entry = find_entry(folder, len(images))
        others = [] if entry is not None else list(self._others(folder))
        if others:
            return self._make(made_from, images, others[0][0].dim)
        return entry

    def entry(self, made_from: Mapping[str, Any], images: Sequence[str], dim: int) -> Entry:
        """Find the entry that earlier runs left, or make a new one.

        Args:
            made_from: as for `find`.
            images: as for `find`.
            dim: vector dimension.

        Raises:
            WorkError: the folder cannot be written.
        """
        entry = self.find(made_from, images)
        if entry is not None and entry.dim == dim:
            return entry
        return self._make(made_from, images, dim)

    def remove(self, entry: Entry) -> None:
        """Remove an entry and those of other lists under the same key.

        Raises:
            WorkError: the folder cannot be written.
        """
        with work_errors(self.path):
            shutil.rmtree(entry.folder.parent)
            used = {folder.name for folder in self.path.glob("*/*")}
            for path in self.path.glob("images-*.json"):
                if path.stem.removeprefix("images-") not in used:
                    path.unlink()

    def _make(self, made_from: Mapping[str, Any], images: Sequence[str], dim: int) -> Entry:
        """Make an entry, with the rows of images that other lists of the same key have too."""
        folder = self._folder(made_from, images)
        with work_errors(folder):
            write_json(self._list(folder.name), images)
            shutil.rmtree(folder, ignore_errors=True)
            entry = make_entry(folder, made_from, len(images), dim)
        row = {image: number for number, image in enumerate(images)}
        for other, theirs in self._others(folder):
            if other.dim == dim:
                shared = {n: row[image] for n, image in enumerate(theirs) if image in row}
                entry.take_over(other, shared)
        return entry

    def _others(self, folder: Path) -> Iterator[tuple[Entry, list[str]]]:
        """The other entries under the key of a folder, each with its list of images."""
        siblings = sorted(folder.parent.iterdir()) if folder.parent.is_dir() else []
        for sibling in siblings:
            if sibling != folder and self._list(sibling.name).is_file():
                images = json.loads(self._list(sibling.name).read_bytes())
                entry = find_entry(sibling, len(images))
                if entry is not None:
                    yield entry, images

    def _folder(self, made_from: Mapping[str, Any], images: Sequence[str]) -> Path:
        return self.path / sha256_json(made_from)[:_KEY] / sha256_json(images)[:_KEY]

    def _list(self, digest: str) -> Path:
        return self.path / f"images-{digest}.json"


@contextmanager
def open_work(path: str | Path) -> Iterator[WorkStore]:
    """Lock a work folder until the block ends; it is made if it does not exist.

    A folder that is left without an entry, as after a refusal, is removed at the end.

    Args:
        path: the folder.

    Raises:
        WorkError: the folder cannot be made or written.
        InputError: another run uses it, or it holds files that no run puts there.
    """
    folder = Path(path)
    with ExitStack() as stack:
        with work_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _check_contents(folder)
            _hold(folder / _LOCK, stack)
        try:
            yield WorkStore(path=folder)
        finally:
            _leave(folder)


def _check_contents(folder: Path) -> None:
    """Refuse a folder with files of the user's own: a run removes only what runs have made."""
    foreign = sorted(path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name))
    if foreign:
        raise InputError(
            f"{folder} holds {first_few(foreign)}, which no run keeps in a work folder; name a"
            " folder of its own with --work"
        )


def _hold(lock: Path, stack: ExitStack) -> None:
    lock.touch()
    before = lock.stat()
    try:
        stack.enter_context(locked(lock, wait=False))
        is_ours = os.path.samestat(before, lock.stat())  # a run that ends may remove its lock
    except (BlockingIOError, FileNotFoundError):
        is_ours = False
    if not is_ours:
        raise InputError(
            f"another run is at work in {lock.parent}: wait for its end, or name another folder"
            " with --work"
        )


def _leave(folder: Path) -> None:
    with suppress(OSError):  # it is gone already, or another run's to remove
        if [path.name for path in folder.iterdir()] == [_LOCK]:
            (folder / _LOCK).unlink()
            folder.rmdir()
