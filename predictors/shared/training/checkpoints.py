"""Checkpoints of a fold: one file, or a folder of the files that an adapter loads."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from ensembler.files import atomic_folder, atomic_write
from predictors.shared.training.state import pack_tensors
from predictors.shared.weights import StateDict


@runtime_checkable
class InFiles(Protocol):
    """A model whose checkpoint is a folder of files.

    Attributes:
        files: the files that `write` writes: role of the adapter → name in the folder.
    """

    files: Mapping[str, str]

    def write(self, weights: StateDict, folder: Path) -> None:
        """Write weights, named as in its `state_dict`, in files that the adapter loads."""


def write_checkpoint(model: torch.nn.Module, weights: StateDict, path: Path) -> None:
    """Replace a checkpoint; the previous one stays if the disk is full.

    Args:
        model: the model of the weights.
        weights: named as in its `state_dict`.
        path: path of the file; a folder has the same path without the suffix.

    Raises:
        OSError: it cannot be written.
    """
    if isinstance(model, InFiles):
        _replace_folder(path.with_suffix(""), model, weights)
    else:
        with atomic_write(path) as file:
            file.write(pack_tensors(weights))


def checkpoint_files(model: torch.nn.Module, path: Path) -> dict[str, str]:
    """The files that `write_checkpoint` writes, by role: paths below the folder of all folds.

    Args:
        model: the model.
        path: the path given to `write_checkpoint`.
    """
    place = Path(path.parent.name)
    if isinstance(model, InFiles):
        named = {role: place / path.stem / name for role, name in model.files.items()}
    else:
        named = {"weights": place / path.name}
    return {role: name.as_posix() for role, name in named.items()}


def _replace_folder(path: Path, model: InFiles, weights: StateDict) -> None:
    """Replace a folder; after a kill between the renames, the repeated epoch writes it again."""
    fresh, old = (path.with_name(f".{path.name}.{what}") for what in ("fresh", "old"))
    for remains in (fresh, old):
        shutil.rmtree(remains, ignore_errors=True)
    with atomic_folder(fresh) as folder:
        model.write(weights, folder)
    if path.exists():
        path.rename(old)
    fresh.rename(path)
    shutil.rmtree(old, ignore_errors=True)
