"""A predictor's files: their digests, where they lie, and the model loaded from them."""

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
HASHERS: Final = 4  # files hashed at once: more only wait for the disk
LOOKED_THROUGH: Final = 10_000  # files below checkpoint folders among which the nearest is sought

# What model libraries raise for files that are not what they should be.
UNLOADABLE: Final = (
    OSError, ValueError, TypeError, LookupError, RuntimeError, EOFError, ImportError,
    MemoryError, pickle.UnpicklingError,
)  # fmt: skip


class Located(NamedTuple):
    """A checkpoint whose files were found; their contents are not verified yet.

    Attributes:
        checkpoint: as the spec records it.
        files: role → file or folder.
    """

    checkpoint: Checkpoint
    files: dict[str, Path]


def checkpoint_digests(definition: PredictorDefinition, root: Path) -> tuple[Checkpoint, ...]:
    """Every checkpoint of a definition with the digests of all that it is loaded from.

    Args:
        definition: of a predictor.
        root: the folder that its paths are relative to.

    Returns:
        One for each of its checkpoints, in its order; one of no fold where it has only files.

    Raises:
        PredictorError: a file is missing or cannot be read.
    """
    folds = [(one.fold, definition.files | one.files) for one in definition.checkpoints]
    loaded_from: list[tuple[int | None, dict[str, str]]] = [*folds] or [(None, definition.files)]
    roles = {path: role for _, files in loaded_from for role, path in files.items()}
    for path, role in roles.items():
        if not (root / path).exists():
            raise PredictorError(
                f"the file of role {role!r}, {root / path}, does not exist{_nearest(path, [root])}"
            )
    with ThreadPoolExecutor(HASHERS) as threads:
        hashed = threads.map(lambda path: file_digest(root / path), roles)
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


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, or of a folder's names and contents without hidden files.

    Raises:
        PredictorError: it cannot be read.
    """
    try:
        if path.is_dir():
            return folder_digest(path)
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise PredictorError(f"{path} cannot be read: {error}") from error


def checkpoint_folders(given: Sequence[str | Path]) -> tuple[Path, ...]:
    """The folders to look for checkpoints in: those given, then the environment's.

    Args:
        given: as on the command line; they come first.

    Raises:
        InputError: one of them is no folder.
    """
    named = os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)
    folders = [*map(Path, given), *(Path(name) for name in named if name)]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"there is no folder {folder} to find checkpoints in; correct --checkpoints or"
                f" {FOLDERS_VARIABLE}"
            )
    return tuple(dict.fromkeys(folders))


def locate_checkpoints(
    origin: Origin, folders: Sequence[Path], *, member: str
) -> tuple[Located, ...]:
    """Find every file of a member's checkpoints by its relative path.

    Nothing is read yet, but where several folders have a path: then the digest decides.

    Args:
        origin: what made the member.
        folders: where to look; the first that has the right file is taken, or else the first that
            has one of its path.
        member: its name, for messages.

    Returns:
        Each checkpoint with its files, in the origin's order.

    Raises:
        PredictorError: no predictor made the member, or a file is in none of the folders; all
            that are missing are told at once.
    """
    if origin.predictor is None:
        raise PredictorError(
            f"member {member!r} was imported from files, and no predictor is recorded that makes"
            " it from images; dump it with `ensembler dump`, or give a store of its embeddings"
        )
    found, missing = [], []
    for checkpoint in origin.checkpoints:
        files = {}
        for file in checkpoint.files:
            places = [f / file.path for f in folders if (f / file.path).exists()]
            if places:
                files[file.role] = _chosen(places, file.sha256)
            else:
                missing.append(f"{file.path} ({file.role}){_nearest(file.path, folders)}")
        found.append(Located(checkpoint, files))
    if missing:
        where = first_few(folders) or f"no folder (give --checkpoints or {FOLDERS_VARIABLE})"
        raise PredictorError(
            f"member {member!r}: looked in {where} and did not find"
            f" {first_few(dict.fromkeys(missing))}"
        )
    return tuple(found)


def verify_checkpoints(located: Sequence[Located], *, member: str) -> None:
    """Hash what was found and hold it against what the spec records.

    Args:
        located: a member's checkpoints.
        member: its name, for messages.

    Raises:
        PredictorError: a file is another than the spec's, or cannot be read.
    """
    for path, file in {
        at.files[file.role]: file for at in located for file in at.checkpoint.files
    }.items():
        digest = file_digest(path)
        if digest != file.sha256:
            raise PredictorError(
                f"member {member!r}: its {file.role}, {path}, has the sha256 {digest}, and the spec"
                f" was made with {file.sha256}; give the file it was made with"
            )


def verifying(located: Sequence[Located], *, member: str) -> Future[None]:
    """`verify_checkpoints` in a thread: hashing needs no interpreter and overlaps with any work.

    The process does not wait for it at its end, as it would for an executor's threads: a deadline
    must not be missed over a digest that nobody needs any more.

    Returns:
        What `result()` waits for; it raises what `verify_checkpoints` does.
    """
    verdict: Future[None] = Future()

    def verify() -> None:
        try:
            verify_checkpoints(located, member=member)
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
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
        name: of a registered adapter.
        config: plain data, as a definition or a spec holds it.
        files: role → file or folder.
        device: as torch names it.

    Raises:
        PredictorError: the adapter or a package it needs is not installed, the config or a file is
            not what it should be.
    """
    adapter = find_adapter(name)
    check_installed(name, adapter)
    try:
        checked = adapter.Config.model_validate(dict(config), strict=False)
    except ValidationError as error:
        raise PredictorError(f"{name}: config: {faults_of(error, adapter.Config)}") from error
    lacking = [role for role, of in adapter.roles.items() if of.required and role not in files]
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
            f"{name}: a {type(predictor).__name__} is no predictor; see"
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


def _chosen(places: Sequence[Path], sha256: str) -> Path:
    """Of several files of one path the right one; the first where none is, to be refused later."""
    if len(places) == 1:
        return places[0]
    return next((place for place in places if file_digest(place) == sha256), places[0])


def _nearest(path: str, folders: Sequence[Path]) -> str:
    """What lies there under a similar path, as the end of a sentence."""
    known = list(islice(_below(folders), LOOKED_THROUGH))
    name = Path(path).name
    close = difflib.get_close_matches(path, known, n=1) or [
        other for other in known if Path(other).name == name
    ]
    return f"; did you mean {close[0]!r}?" if close else ""


def _below(folders: Sequence[Path]) -> Iterator[str]:
    for folder in folders:
        for file in folder.rglob("*"):
            yield file.relative_to(folder).as_posix()
