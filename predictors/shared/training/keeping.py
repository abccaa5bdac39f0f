"""What a training leaves as it is, copied to where its checkpoints find it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Container
from pathlib import Path

from ensembler.errors import InputError
from ensembler.files import atomic_folder, atomic_write
from ensembler.predicting.checkpoints import file_digest
from ensembler.training.contract import FoldJob
from ensembler.training.run import is_first_process


def keep(job: FoldJob, *roles: str, only: Container[str] | None = None) -> dict[str, str]:
    """Copy files that a job is given to the folder of all folds, unless they are there.

    Args:
        job: whose weights to begin with and encoder count.
        roles: of the files or folders; one that is not given is left out.
        only: the names of what a folder's copy is to hold; None for all.

    Returns:
        Role → name there, which tells the contents: folds may begin with different files.

    Raises:
        InputError: one cannot be written.
    """
    given = dict(job.weights) if job.encoder is None else {**job.weights, "encoder": job.encoder}
    names = {}
    for role in filter(given.__contains__, roles):
        digest = job.digests.get(role) or file_digest(given[role])  # a folder may be many gigabytes
        names[role] = _kept(f"{role}-{digest[:12]}", given[role], job.shared, only)
    return names


def _kept(name: str, given: Path, shared: Path, only: Container[str] | None) -> str:
    """The name of one, which is there when this returns, or when the first process is so far."""
    place = shared / f"{name}{given.suffix if given.is_file() else ''}"
    if not is_first_process() or place.exists():
        return place.name
    try:
        if given.is_dir():
            with atomic_folder(place) as folder:
                shutil.copytree(given, folder, dirs_exist_ok=True, ignore=_all_but(only))
        else:
            with given.open("rb") as source, atomic_write(place) as copy:
                shutil.copyfileobj(source, copy)
    except OSError as error:
        raise InputError(f"{place} cannot be written: {error.strerror or error}") from error
    return place.name


def _all_but(only: Container[str] | None) -> Callable[[str, list[str]], list[str]] | None:
    """What `copytree` is told to leave out."""
    return None if only is None else lambda _, names: [name for name in names if name not in only]
