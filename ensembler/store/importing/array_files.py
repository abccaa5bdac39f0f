"""Reading .npy, .npz and .pt files of embeddings; whatever needs pickle is refused, not run."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.arrays import map_array, read_array, read_arrays
from ensembler.errors import StoreError, first_few
from ensembler.files import BROKEN
from ensembler.store.importing.tables import ID_COLUMNS

EMBEDDINGS: Final = "embeddings"  # the key of the vectors where a file holds several arrays


class ArrayFile(NamedTuple):
    """The contents of an array file."""

    ids: list[str] | None  # None: the file has none
    vectors: NDArray[np.floating]  # (n, d), or flat (n·d,); of an .npy file a memory map


def read_npy(path: Path) -> ArrayFile:
    """Memory-map the array of an .npy file.

    Raises:
        StoreError: broken, truncated, of Python objects, or not (n, d) or flat floating-point
            numbers.
    """
    try:
        array = map_array(path)
    except BROKEN as error:
        raise _unreadable(path, error) from error
    return ArrayFile(None, vectors_of(path, array))


def read_id_array(path: Path) -> list[str]:
    """Read the ids in an .npy file of text or whole numbers.

    Raises:
        StoreError: broken, of Python objects, or not one list of ids.
    """
    try:
        array = read_array(path)
    except BROKEN as error:
        remedy = "save ids with np.save(file, np.array(ids, dtype=str))"
        raise _unreadable(path, error, remedy) from error
    return text_ids(path, array)


def read_npz(path: Path) -> ArrayFile:
    """Read the embeddings, and the ids where there are any, of an .npz file.

    Raises:
        StoreError: as `read_npy`, or it does not say which array is which.
    """
    try:
        arrays = read_arrays(path)
    except BROKEN as error:
        raise _unreadable(path, error) from error
    return _from_mapping(path, arrays)


def read_pt(path: Path) -> ArrayFile:
    """Read a tensor, or a dict of embeddings and ids, that torch saved.

    Raises:
        StoreError: as `read_npz`, or torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise StoreError(
            f"{path}: a .pt file needs torch: pip install torch, or save it as .npy"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of other makes: refused all the same
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise StoreError(
            f"{path} holds more than tensors, and pickled code is never run;"
            " save {'embeddings': tensor, 'ids': list of str}"
        ) from error
    except BROKEN as error:
        raise _unreadable(path, error) from error
    if isinstance(content, torch.Tensor):
        return ArrayFile(None, vectors_of(path, _to_numpy(content)))
    if not isinstance(content, Mapping):
        raise StoreError(
            f"{path} holds a {type(content).__name__}; save a tensor or"
            " {'embeddings': tensor, 'ids': list of str}"
        )
    return _from_mapping(path, {str(name): _to_numpy(value) for name, value in content.items()})


def _to_numpy(value: Any) -> Any:  # noqa: ANN401 - whatever a .pt file holds
    """A tensor as an array, bfloat16 widened since NumPy has none; anything else as it is."""
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def _from_mapping(path: Path, arrays: Mapping[str, Any]) -> ArrayFile:
    """Tell the ids of a mapping from its embeddings: by key, else by being the only other one."""
    id_keys = [name for name in (*ID_COLUMNS, "ids") if name in arrays]
    others = [name for name in arrays if name not in id_keys]
    key = EMBEDDINGS if EMBEDDINGS in others else others[0] if len(others) == 1 else None
    if key is None or len(id_keys) > 1:
        raise StoreError(
            f"{path} holds {first_few(arrays) or 'nothing'}; name the vectors {EMBEDDINGS!r} and"
            " the ids 'ids'"
        )
    ids = text_ids(path, arrays[id_keys[0]]) if id_keys else None
    return ArrayFile(ids, vectors_of(path, arrays[key]))


def text_ids(path: Path, ids: object) -> list[str]:
    """Convert ids to text.

    Args:
        path: where they are from, for the message.
        ids: (n,) text or whole numbers.

    Raises:
        StoreError: they are of another type or shape.
    """
    array = np.asarray(ids)
    if array.dtype.kind == "O" and all(isinstance(id_, str) for id_ in array.flat):
        array = array.astype(np.str_)  # text as pandas keeps it
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise StoreError(
            f"{path}: the ids are {array.dtype}{array.shape}; save them as one list of text"
        )
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    return [str(id_) for id_ in array.tolist()]


def vectors_of(path: Path, array: object) -> NDArray[np.floating]:
    """Check embeddings and return them unchanged.

    Args:
        path: where they are from, for the message.
        array: (n, d) or (n·d,).

    Raises:
        StoreError: there are none, or they are of another type or shape.
    """
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise StoreError(
            f"{path}: embeddings are of type {kind}; save them as float16, float32 or float64"
        )
    if array.ndim not in (1, 2) or array.size == 0:
        raise StoreError(
            f"{path}: embeddings have shape {array.shape}; save one row of numbers per id, (n, d),"
            " as array.reshape(len(array), -1) makes them"
        )
    return array


def _unreadable(
    path: Path, error: Exception, remedy: str = "save plain numbers again"
) -> StoreError:
    if isinstance(error, FileNotFoundError):
        return StoreError(f"there is no file {path}")
    fault = str(error) or type(error).__name__
    return StoreError(
        f"{path} cannot be read ({fault}): it is truncated, not {path.suffix}, or holds Python"
        f" objects; {remedy}"
    )
