"""Checkpoints of a fold: one file, or a folder of those that an adapter loads a model from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from ensembler.files import atomic_folder, atomic_write
from predictors.shared.training.state import Tensors, packed


@runtime_checkable
class InFiles(Protocol):
    """A model whose checkpoint is more than one file of all its weights.

    Attributes:
        files: what `write` writes: role of the adapter → its name in the folder.
    """

    files: Mapping[str, str]

    def write(self, weights: Tensors, folder: Path) -> None:
        """Write weights, named as in its `state_dict`, for the adapter to load."""


def write_checkpoint(model: torch.nn.Module, weights: Tensors, path: Path) -> None:
    """Write a checkpoint in the place of the one before, which stays if there is no room.

    Args:
        model: that the weights are of.
        weights: named as in its `state_dict`.
        path: of the file; of a folder, its name is the file's without suffix.

    Raises:
        OSError: it cannot be written.
    """
    if isinstance(model, InFiles):
        _replace_folder(path.with_suffix(""), model, weights)
    else:
        with atomic_write(path) as file:
            file.write(packed(weights))


def checkpoint_files(model: torch.nn.Module, path: Path) -> dict[str, str]:
    """What `write_checkpoint` has written, by role: paths below the folder of all folds.

    Args:
        model: that was written.
        path: as it was given.
    """
    place = Path(path.parent.name)
    if isinstance(model, InFiles):
        named = {role: place / path.stem / name for role, name in model.files.items()}
    else:
        named = {"weights": place / path.name}
    return {role: name.as_posix() for role, name in named.items()}


def _replace_folder(path: Path, model: InFiles, weights: Tensors) -> None:
    """A kill between the two renames leaves no folder: the epoch, done again, writes it again."""
    fresh, old = (path.with_name(f".{path.name}.{what}") for what in ("fresh", "old"))
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    with atomic_folder(fresh) as folder:
        model.write(weights, folder)
    if path.exists():
        path.rename(old)
    fresh.rename(path)
    shutil.rmtree(old, ignore_errors=True)
