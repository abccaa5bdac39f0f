"""Records beside checkpoints: the run they belong to, its result, how to load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import ValidationError

from ensembler.errors import InputError
from ensembler.faults import faults_of
from ensembler.files import atomic_write, canonical_json
from ensembler.frozen import Frozen
from ensembler.toml import toml_key, toml_value
from ensembler.training.contract import RECORD, STATES, Trained

JOB: Final = "job.json"  # of a fold that is begun
DEFINITION: Final = "predictor.toml"
NOTHING: Final = "none"  # stands for the digest of a file that is not given
OF_ALL_FOLDS: Final = frozenset({"recipe", "data"})  # digests that all folds of a folder share

Model = TypeVar("Model", bound=Frozen)


class Begun(Frozen):
    """Contents of `job.json`: the inputs of a fold's training."""

    adapter: str
    digests: dict[str, str]  # of recipe, data and, by role, files to begin with


class Finished(Frozen):
    """Contents of `record.json`: the result of a fold and what it was trained from."""

    format: Literal["ensembler-training"] = "ensembler-training"
    version: Literal[1] = 1
    adapter: str
    fold: int
    config: dict[str, Any]
    recipe: dict[str, Any]
    digests: dict[str, str]
    result: Trained


def fold_folder(out: Path, fold: int) -> Path:
    """The folder of a fold's files."""
    return out / f"fold{fold}"


def check_begun(out: Path, fold: int, begun: Begun) -> None:
    """Refuse to resume a run that was started from other inputs.

    A fold without a state and without a record holds nothing, and may be started again.

    Args:
        out: the folder of all folds.
        fold: the fold to train.
        begun: its inputs.

    Raises:
        InputError: a fold there has another recipe or other data, or this one was started from
            other weights; the message names both digests.
    """
    same_fold = fold_folder(out, fold) / JOB
    for path in sorted(out.glob(f"fold*/{JOB}")):
        if not _holds_something(path.parent):
            continue
        there = _read(path, Begun)
        if there.adapter != begun.adapter:
            raise InputError(
                f"{path.parent} holds a {there.adapter!r}, not a {begun.adapter!r}; name another"
                " --out"
            )
        for what in sorted(begun.digests | there.digests):
            digest, other = (run.digests.get(what, NOTHING) for run in (begun, there))
            if other != digest and (path == same_fold or what in OF_ALL_FOLDS):
                raise InputError(
                    f"{path.parent} was started with the {what} of digest {other}, but this one"
                    f" has {digest}; give the same {what} again, or name another --out"
                )


def write_begun(folder: Path, begun: Begun) -> None:
    """Record the inputs of a fold, and make its folder.

    Raises:
        InputError: it cannot be written.
    """
    _write(folder / JOB, begun)


def read_finished(folder: Path) -> Finished | None:
    """Read the record of a fold; None where it is not finished.

    Raises:
        InputError: the record is damaged.
    """
    path = folder / RECORD
    return _read(path, Finished) if path.exists() else None


def write_finished(folder: Path, record: Finished) -> None:
    """Record that a fold is finished, and remove its states.

    Raises:
        InputError: it cannot be written.
    """
    _write(folder / RECORD, record)
    for state in folder.glob(STATES):
        state.unlink()


def write_definition(out: Path) -> Path:
    """Write the definition for `ensembler dump`, with all finished folds.

    Args:
        out: the folder of all folds; at least one is finished.

    Returns:
        The path of the definition.
    """
    records = [read_finished(path.parent) for path in out.glob(f"fold*/{RECORD}")]
    finished = sorted((r for r in records if r is not None), key=lambda record: record.fold)
    config = finished[0].config
    lines = [f"adapter = {toml_value(finished[0].adapter)}", "", "[config]"]
    lines += [f"{toml_key(k)} = {toml_value(v)}" for k, v in config.items() if v is not None]
    for record in finished:
        lines += ["", "[[checkpoints]]", f"fold = {record.fold}"]
        files = record.result.files.items()
        lines += [f"{toml_key(role)} = {toml_value(name)}" for role, name in files]
    path = out / DEFINITION
    _replace(path, ("\n".join(lines) + "\n").encode())
    return path


def _holds_something(folder: Path) -> bool:
    """Whether a fold is finished or has a state to resume from."""
    return (folder / RECORD).exists() or any(folder.glob(STATES))


def _read(path: Path, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{path} is damaged: {faults_of(error, model)}; remove {path.parent} to train the fold"
            " again"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _write(path: Path, document: Frozen) -> None:
    _replace(path, canonical_json(document.model_dump(mode="json")))


def _replace(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
