"""Initial weights of a training: files named by role, or another training's best checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ensembler.errors import InputError, PredictorError, first_few, unknown_name
from ensembler.predicting.contract import Adapter
from ensembler.predicting.definition import load_definition
from ensembler.training.records import DEFINITION

WEIGHTS: Final = "weights"  # role of a path without one, where an adapter has it
ENCODER: Final = "encoder"  # chosen by an option of its own, which also makes the targets

Given = str | Path | Mapping[str, str | Path] | None


def initial_files(name: str, adapter: type[Adapter], given: Given, fold: int) -> dict[str, Path]:
    """Find the files that a fold's training begins with, by role.

    Args:
        name: name of the adapter.
        adapter: the adapter, which defines the roles.
        given: a file or folder for each role; or a single one; or the folder of another training,
            whose best checkpoint of the same fold is taken; None begins with new weights.
        fold: the fold to train.

    Raises:
        InputError: a path does not exist, or that training has not finished the fold.
        PredictorError: a role is not one of the adapter's, a single path could have several roles,
            or the other training is of another predictor.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        files = {role: Path(path) for role, path in given.items()}
    elif (Path(given) / DEFINITION).is_file():
        files = _best_of(name, Path(given), fold)
    else:
        files = {_only_role(name, adapter): Path(given)}
    roles = adapter.roles.keys() - {ENCODER}
    for role, path in files.items():
        if role not in roles:
            raise PredictorError(unknown_name(f"file of {name!r} to begin with", role, roles))
        if not path.exists():
            raise InputError(f"the file of the role {role!r} to begin with is missing: {path}")
    return files


def _best_of(name: str, out: Path, fold: int) -> dict[str, Path]:
    """The files of another training's best checkpoint."""
    definition = load_definition(out / DEFINITION)
    if definition.adapter != name:
        raise PredictorError(f"{out} trained a {definition.adapter!r}, not a {name!r}")
    checkpoints = definition.files_of(fold)
    if not checkpoints:
        finished = first_few(checkpoint.fold for checkpoint in definition.checkpoints)
        raise InputError(
            f"there are no weights {out / f'fold{fold}'} to begin with: that training has finished"
            f" the folds {finished}"
        )
    return {role: out / path for role, path in checkpoints[0].items() if role != ENCODER}


def _only_role(name: str, adapter: type[Adapter]) -> str:
    """The role of a single path without one."""
    if WEIGHTS in adapter.roles:
        return WEIGHTS
    required = [name for name, role in adapter.roles.items() if role.required]
    if len(required) > 1:
        raise PredictorError(
            f"{name!r} begins with several files, {first_few(required)}: name the role, as in"
            f" {required[0]}=FILE"
        )
    return required[0]
