"""What a training begins with: files that are named by role, or another training's best."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ensembler.errors import InputError, PredictorError, first_few, unknown_name
from ensembler.predicting.contract import Adapter
from ensembler.predicting.definition import load_definition
from ensembler.training.records import DEFINITION

WEIGHTS: Final = "weights"  # the role that a path without one is of, where an adapter has it
ENCODER: Final = "encoder"  # is chosen by an option of its own, which makes the targets too

Given = str | Path | Mapping[str, str | Path] | None


def files_to_begin_with(
    name: str, adapter: type[Adapter], given: Given, fold: int
) -> dict[str, Path]:
    """The files that a fold's training begins with, by role.

    Args:
        name: of the adapter.
        adapter: whose roles count.
        given: a file or folder for each role; or one alone; or the folder of another training,
            whose best of the same fold is taken; None begins with new weights.
        fold: that is trained.

    Raises:
        InputError: a path does not exist, or that training has not finished the fold.
        PredictorError: a role is none of the adapter's, a path alone could be of several, or the
            other training is of another predictor.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        found = {role: Path(path) for role, path in given.items()}
    elif (Path(given) / DEFINITION).is_file():
        found = _best_of(name, Path(given), fold)
    else:
        found = {_only_role(name, adapter): Path(given)}
    roles = adapter.roles.keys() - {ENCODER}
    for role, path in found.items():
        if role not in roles:
            raise PredictorError(unknown_name(f"file of {name!r} to begin with", role, roles))
        if not path.exists():
            raise InputError(f"there are no {role} {path} to begin with")
    return found


def _best_of(name: str, out: Path, fold: int) -> dict[str, Path]:
    """The files of another training's best checkpoint."""
    definition = load_definition(out / DEFINITION)
    if definition.adapter != name:
        raise PredictorError(f"{out} trained a {definition.adapter!r}, not a {name!r}")
    checkpoints = definition.files_of(fold)
    if not checkpoints:
        finished = first_few(one.fold for one in definition.checkpoints)
        raise InputError(
            f"there are no weights {out / f'fold{fold}'} to begin with: that training has finished"
            f" the folds {finished}"
        )
    return {role: out / path for role, path in checkpoints[0].items() if role != ENCODER}


def _only_role(name: str, adapter: type[Adapter]) -> str:
    """The role of a path that is given alone."""
    if WEIGHTS in adapter.roles:
        return WEIGHTS
    required = [role for role, one in adapter.roles.items() if one.required]
    if len(required) > 1:
        raise PredictorError(
            f"{name!r} begins with several files, {first_few(required)}: say which is meant, as in"
            f" {required[0]}=FILE"
        )
    return required[0]
