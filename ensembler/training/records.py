"""What stands beside checkpoints: which run they are of, how it ended, how to load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import ValidationError

from ensembler.errors import InputError
from ensembler.faults import faults_of
from ensembler.files import atomic_write, canonical_json
from ensembler.predicting.skeleton import toml_key, toml_value
from ensembler.store.model import Frozen
from ensembler.training.contract import RECORD, STATES, Trained

JOB: Final = "job.json"  # of a fold that is begun
DEFINITION: Final = "predictor.toml"
NOTHING: Final = "none"  # the digest of what is not given
OF_ALL_FOLDS: Final = frozenset({"recipe", "data"})  # digests that all folds of a folder share

Model = TypeVar("Model", bound=Frozen)


class Begun(Frozen):
    """`job.json`: what a fold's files were made from."""

    adapter: str
    digests: dict[str, str]  # of the recipe, the data, and what it began with, by role


class Finished(Frozen):
    """`record.json`: all that is worth knowing of a fold's checkpoint."""

    format: Literal["ensembler-training"] = "ensembler-training"
    version: Literal[1] = 1
    adapter: str
    fold: int
    config: dict[str, Any]
    recipe: dict[str, Any]
    digests: dict[str, str]
    result: Trained


def fold_folder(out: Path, fold: int) -> Path:
    """Where a fold's files are."""
    return out / f"fold{fold}"


def check_begun(out: Path, fold: int, begun: Begun) -> None:
    """Refuse to go on with what another run began, where it came as far as a state.

    A fold that has neither that nor a record holds nothing, and may be begun anew.

    Args:
        out: the folder of all folds.
        fold: about to be trained.
        begun: what it is made from.

    Raises:
        InputError: a fold there has another recipe or other data, or this one began with other
            weights; both digests are told.
    """
    own = fold_folder(out, fold) / JOB
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
            digest, other = (one.digests.get(what, NOTHING) for one in (begun, there))
            if other != digest and (path == own or what in OF_ALL_FOLDS):
                raise InputError(
                    f"{path.parent} was begun with the {what} of digest {other}, and this is"
                    f" {digest}; give the same {what} again, or name another --out"
                )


def write_begun(folder: Path, begun: Begun) -> None:
    """Record what a fold's files are made from; its folder is made.

    Raises:
        InputError: it cannot be written.
    """
    _write(folder / JOB, begun)


def read_finished(folder: Path) -> Finished | None:
    """How a fold ended; None where it has not.

    Raises:
        InputError: the record is damaged.
    """
    path = folder / RECORD
    return _read(path, Finished) if path.exists() else None


def write_finished(folder: Path, record: Finished) -> None:
    """Record that a fold is finished; nothing goes on from its states any more.

    Raises:
        InputError: it cannot be written.
    """
    _write(folder / RECORD, record)
    for state in folder.glob(STATES):
        state.unlink()


def write_definition(out: Path) -> Path:
    """Write the definition that `ensembler dump` takes, of all folds that are finished.

    Args:
        out: the folder of all folds; one at least is finished.

    Returns:
        Its path.
    """
    records = [read_finished(path.parent) for path in out.glob(f"fold*/{RECORD}")]
    finished = sorted((one for one in records if one is not None), key=lambda one: one.fold)
    config = finished[0].config
    lines = [f"adapter = {toml_value(finished[0].adapter)}", "", "[config]"]
    lines += [f"{toml_key(k)} = {toml_value(v)}" for k, v in config.items() if v is not None]
    for one in finished:
        lines += ["", "[[checkpoints]]", f"fold = {one.fold}"]
        lines += [
            f"{toml_key(role)} = {toml_value(name)}" for role, name in one.result.files.items()
        ]
    path = out / DEFINITION
    _replace(path, ("\n".join(lines) + "\n").encode())
    return path


def _holds_something(folder: Path) -> bool:
    """Whether a fold is finished, or there is a state to go on from."""
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
