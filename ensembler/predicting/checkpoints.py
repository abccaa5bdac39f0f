"""A predictor's files: computing their digests, finding them, loading the model from them."""

from __future__ import annotations

import difflib
import hashlib
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from ensembler.errors import InputError, PredictorError, first_few
from ensembler.faults import faults_of
from ensembler.files import sha256_json
from ensembler.predicting.contract import Predictor
from ensembler.predicting.definition import PredictorDefinition
from ensembler.predicting.registry import check_installed, find_adapter
from ensembler.store.encoder import folder_digest
from ensembler.store.model import Checkpoint, CheckpointFile, Origin

FOLDERS_VARIABLE: Final = "ENSEMBLER_CHECKPOINTS"  # folders, separated as in PATH
HASHERS: Final = 4  # files hashed at once: more would only wait for the disk
SEARCHED: Final = 10_000  # files below the checkpoint folders that a similar name is sought among

# Raised by model libraries for files that are not what they should be.
UNLOADABLE: Final = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    EOFError,
    ImportError,
    MemoryError,
    pickle.UnpicklingError,
)


class Located(NamedTuple):
    """A checkpoint whose files were found; their contents are not verified yet.

    Attributes:
        checkpoint: the spec's record of it.
        files: role → file or folder.
    """

    checkpoint: Checkpoint
    files: dict[str, Path]


def checkpoint_digests(definition: PredictorDefinition, *folders: Path) -> tuple[Checkpoint, ...]:
    """The checkpoints of a definition, with the digests of all files that they are loaded from.

    Args:
        definition: a predictor's definition.
        folders: the folders that its paths are relative to; the first that has a file is taken.

    Returns:
        One for each of its checkpoints, in its order; one without a fold where it has only files.

    Raises:
        PredictorError: a file is missing or cannot be read.
    """
    folds = [(of_fold.fold, definition.files | of_fold.files) for of_fold in definition.checkpoints]
    loaded_from: list[tuple[int | None, dict[str, str]]] = [*folds] or [(None, definition.files)]
    roles = {path: role for _, files in loaded_from for role, path in files.items()}
    places = {path: find_file(path, folders) for path in roles}
    for path, place in places.items():
        if not place.exists():
            raise PredictorError(
                f"the file of role {roles[path]!r}, {place}, does not exist"
                f"{_nearest(path, folders)}"
            )
    with ThreadPoolExecutor(HASHERS) as threads:
        hashed = threads.map(file_digest, places.values())
        digests = dict(zip(roles, hashed, strict=True))
    return tuple(
        _checkpoint(
            fold,
            [
                CheckpointFile(role=role, path=path, sha256=digests[path])
                for role, path in sorted(files.items())
            ],
        )
        for fold, files in loaded_from
    )


def find_file(path: str, folders: Sequence[Path]) -> Path:
    """A file of a relative path in the first folder that has it; in the first where none does."""
    places = [folder / path for folder in folders]
    return next((place for place in places if place.exists()), places[0])


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, or of a folder's names and contents without hidden files.

    Raises:
        PredictorError: the file or folder cannot be read.
    """
    try:
        if path.is_dir():
            return folder_digest(path)
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise PredictorError(f"{path} cannot be read: {error}") from error


def checkpoint_folders(given: Sequence[str | Path]) -> tuple[Path, ...]:
    """The folders to search for checkpoints: those given, then the environment's.

    Args:
        given: folders from the command line; they come first.

    Raises:
        InputError: one of them is not a folder.
    """
    named = os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)
    folders = [*map(Path, given), *(Path(name) for name in named if name)]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"there is no folder {folder} to search for checkpoints; correct --checkpoints or"
                f" {FOLDERS_VARIABLE}"
            )
    return tuple(dict.fromkeys(folders))


def locate_checkpoints(
    origin: Origin, folders: Sequence[Path], *, member: str
) -> tuple[Located, ...]:
    """Find every file of a member's checkpoints by its relative path.

    Files are not read, except where several folders have the same path: then the digest decides.

    Args:
        origin: the record of what made the member.
        folders: folders to search, in this order; where several have the path, the first with the
            right digest is taken, or else the first of all.
        member: the member's name, for messages.

    Returns:
        Each checkpoint with its files, in the origin's order.

    Raises:
        PredictorError: no predictor made the member, or a file is in none of the folders; one
            message names all that are missing.
    """
    if origin.predictor is None:
        raise PredictorError(
            f"member {member!r} was imported from files, without a predictor that makes it from"
            " images; dump it with `ensembler dump`, or give a store of its embeddings"
        )
    located, missing = [], []
    for checkpoint in origin.checkpoints:
        files = {}
        for file in checkpoint.files:
            candidates = [f / file.path for f in folders if (f / file.path).exists()]
            if candidates:
                files[file.role] = _choose(candidates, file.sha256)
            else:
                missing.append(f"{file.path} ({file.role}){_nearest(file.path, folders)}")
        located.append(Located(checkpoint, files))
    if missing:
        where = first_few(folders) or f"no folder (give --checkpoints or {FOLDERS_VARIABLE})"
        raise PredictorError(
            f"member {member!r}: looked in {where} and did not find"
            f" {first_few(dict.fromkeys(missing))}"
        )
    return tuple(located)


def verify_checkpoints(located: Sequence[Located], *, member: str) -> None:
    """Compare the digests of a member's files with those that the spec records.

    Args:
        located: the member's checkpoints.
        member: the member's name, for messages.

    Raises:
        PredictorError: a file differs from the spec's, or cannot be read.
    """
    for path, file in {
        at.files[file.role]: file for at in located for file in at.checkpoint.files
    }.items():
        digest = file_digest(path)
        if digest != file.sha256:
            raise PredictorError(
                f"member {member!r}: its {file.role}, {path}, has the sha256 {digest}, but the spec"
                f" was made with {file.sha256}; give the file it was made with"
            )


def start_verifying(located: Sequence[Located], *, member: str) -> Future[None]:
    """Run `verify_checkpoints` in a thread: hashing releases the GIL and overlaps with other work.

    The process does not wait for the thread at exit, as it would for an executor's threads: a
    deadline must not be missed over a digest that is no longer needed.

    Returns:
        A future, whose `result()` raises what `verify_checkpoints` raises.
    """
    verdict: Future[None] = Future()

    def verify() -> None:
        try:
            verify_checkpoints(located, member=member)
        except BaseException as error:  # noqa: BLE001 - passed on by the future
            verdict.set_exception(error)
        else:
            verdict.set_result(None)

    Thread(target=verify, name=f"verifying {member}", daemon=True).start()
    return verdict


def load_predictor(
    name: str, config: Mapping[str, Any], files: Mapping[str, Path], device: str = "cpu"
) -> Predictor:
    """Load a predictor by its adapter's name.

    Args:
        name: the name of a registered adapter.
        config: the adapter's config as plain data, from a definition or a spec.
        files: role → file or folder.
        device: a torch device name.

    Raises:
        PredictorError: the adapter or a package it needs is not installed, or the config or a file
            is not what it should be.
    """
    adapter = find_adapter(name)
    check_installed(name, adapter)
    try:
        checked = adapter.Config.model_validate(dict(config), strict=False)
    except ValidationError as error:
        raise PredictorError(f"{name}: config: {faults_of(error, adapter.Config)}") from error
    lacking = [of for of, role in adapter.roles.items() if role.required and of not in files]
    if lacking:
        raise PredictorError(f"{name}: no file is given for {first_few(lacking)}")
    try:
        predictor = adapter.load(checked, files, device=device)
    except UNLOADABLE as error:
        raise PredictorError(
            f"{name} cannot be loaded from {first_few(files.values())}:"
            f" {type(error).__name__}: {error}"
        ) from error
    if not isinstance(predictor, Predictor):
        raise PredictorError(
            f"{name}: a {type(predictor).__name__} is not a predictor; see"
            " ensembler.predicting.contract.Predictor"
        )
    return predictor


def _checkpoint(fold: int | None, files: Sequence[CheckpointFile]) -> Checkpoint:
    whole = (
        files[0].sha256
        if len(files) == 1
        else sha256_json([file.model_dump(mode="json") for file in files])
    )
    return Checkpoint(sha256=whole, fold=fold, files=tuple(files))


def _choose(candidates: Sequence[Path], sha256: str) -> Path:
    """The candidate with the digest; the first where none has it, to be refused later."""
    if len(candidates) == 1:
        return candidates[0]
    return next((path for path in candidates if file_digest(path) == sha256), candidates[0])


def _nearest(path: str, folders: Sequence[Path]) -> str:
    """The file with the most similar path, as the end of a sentence; empty without one."""
    known = list(islice(_below(folders), SEARCHED))
    name = Path(path).name
    close = difflib.get_close_matches(path, known, n=1) or [
        other for other in known if Path(other).name == name
    ]
    return f"; did you mean {close[0]!r}?" if close else ""


def _below(folders: Sequence[Path]) -> Iterator[str]:
    for folder in folders:
        for file in folder.rglob("*"):
            yield file.relative_to(folder).as_posix()
