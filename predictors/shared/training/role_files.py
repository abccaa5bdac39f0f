"""Copies of the files that a training leaves unchanged, where its checkpoints find them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Container
from pathlib import Path

from ensembler.errors import InputError
from ensembler.files import atomic_folder, atomic_write
from ensembler.predicting.checkpoints import file_digest
from ensembler.training.contract import FoldJob
from ensembler.training.run import is_first_process


def copy_role_files(
    job: FoldJob, *roles: str, only: Container[str] | None = None
) -> dict[str, str]:
    """Copy files of a job to the folder of all folds, unless they are there.

    Args:
        job: whose weights to begin with and encoder count.
        roles: of the files or folders; one that is not given is left out.
        only: names of the files that a folder's copy holds; None for all.

    Returns:
        Role → name of the copy, which contains its digest: folds may begin with different files.

    Raises:
        InputError: a copy cannot be written.
    """
    given = dict(job.weights) if job.encoder is None else {**job.weights, "encoder": job.encoder}
    names = {}
    for role in filter(given.__contains__, roles):
        digest = job.digests.get(role) or file_digest(given[role])  # a folder may be many gigabytes
        names[role] = _copy(f"{role}-{digest[:12]}", given[role], job.shared, only)
    return names


def _copy(name: str, given: Path, shared: Path, only: Container[str] | None) -> str:
    """Copy a file or folder in the first process; return the name of the copy in all."""
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
    """The `ignore` of `copytree` that keeps `only`."""
    return None if only is None else lambda _, names: [name for name in names if name not in only]
