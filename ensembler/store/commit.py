"""Changing a store: one writer at a time, and the manifest as the commit point."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import StoreError
from ensembler.files import atomic_write, canonical_json, locked
from ensembler.store.manifest import MANIFEST
from ensembler.store.model import Manifest
from ensembler.store.reader import Store


@contextmanager
def exclusive(path: Path) -> Iterator[Store]:
    """Hold a store for one writer; a second one waits.

    The lock is on the folder itself, so nothing is left behind, whatever ends the process.

    Args:
        path: the store's folder.

    Yields:
        The store as it is now that nobody else can change it.

    Raises:
        StoreError: there is no store, or it cannot be written.
    """
    Store.open(path)
    with write_errors(path), locked(path):
        yield Store.open(path)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn a failure to write below `path` into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error}; copy the store to a folder that can, or free space"
        ) from error


def replace_manifest(path: Path, manifest: Manifest) -> None:
    """Commit: what the new manifest lists is the store from now on.

    Args:
        path: the store's folder, or the folder that becomes one.
        manifest: the new contents; all they name is on the disk already.

    Raises:
        OSError: the folder cannot be written; the old manifest stands.
    """
    with atomic_write(path / MANIFEST) as file:
        file.write(canonical_json(manifest.model_dump(mode="json")))


def write_array(
    path: Path, blocks: Iterable[NDArray[np.generic]], shape: tuple[int, ...], dtype: str
) -> None:
    """Write an .npy file a block of rows at a time.

    Args:
        path: the file to create.
        blocks: arrays of `dtype` that stacked have `shape`.
        shape: of the whole.
        dtype: NumPy name; bytes are little-endian, C order.
    """
    little = np.dtype(dtype).newbyteorder("<")
    header = {"descr": little.str, "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=little).data)
