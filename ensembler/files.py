"""Atomic writes, locks and content digests: what every file format here stands on.

A file is written under a temporary name beside its place, flushed to the disk and renamed: a kill
at any moment leaves the old file or the new one. The temporary name is fixed (`.NAME.partial`), so
what a kill leaves behind is overwritten by the next attempt.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError

DIGEST_BLOCK = 1 << 22  # bytes hashed at once; bounds memory when a memory-mapped array is hashed

# What NumPy, zipfile and torch raise for bytes that are not what the name says.
BROKEN: Final = (
    OSError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, MemoryError,
    AttributeError, RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
    struct.error,
)  # fmt: skip
FULL: Final = (errno.ENOSPC, errno.EDQUOT)  # no room on the disk, or in the user's share of it


def partial_path(path: Path) -> Path:
    """The temporary name beside `path` that a write goes to first."""
    return path.with_name(f".{path.name}.partial")


def is_full(error: BaseException) -> bool:
    """Whether an error says that there is no room left to write to."""
    return isinstance(error, OSError) and error.errno in FULL


def writable_file(path: str | Path) -> Path:
    """Check where a result shall go before the work that makes it.

    Args:
        path: the file to create or replace.

    Returns:
        The same.

    Raises:
        InputError: it is a folder, as "." and "" are, or the folder it lies in does not exist or
            cannot be written.
    """
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{str(path)!r} is a folder and cannot be written; name a file in it")
    if not file.parent.is_dir():
        raise InputError(
            f"{file} cannot be written: there is no folder {file.parent}; make it, or name a file"
            " in another"
        )
    if not os.access(file.parent, os.W_OK):
        raise InputError(
            f"{file} cannot be written: the folder {file.parent} is read-only; name a file in"
            " another"
        )
    return file


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing; it appears, whole and on disk, when the block ends.

    Args:
        path: the file to create or replace; its folder must exist.

    Yields:
        A binary file under the temporary name.

    Raises:
        OSError: `path` is a folder, or its folder cannot be written; the old file is untouched.
    """
    if path.is_dir():  # "." and "" are too, and have no name to put a temporary one beside
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = partial_path(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def atomic_folder(path: Path, *, resumed: bool = False) -> Iterator[Path]:
    """Fill a folder that appears at `path`, with all its files on disk, when the block ends.

    Args:
        path: the folder to create; it must not exist, or be empty.
        resumed: go on with what a kill, an interruption or a full disk left; any other error still
            clears it.

    Yields:
        The temporary folder to write into.

    Raises:
        OSError: the parent cannot be written, or `path` is a folder with content.
    """
    temporary = partial_path(path)
    if not resumed:
        shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True, exist_ok=resumed)
        yield temporary
        for file in sorted(temporary.rglob("*")):
            _sync_folder(file) if file.is_dir() else _sync_file(file)
        _sync_folder(temporary)
        temporary.rename(path)
    except BaseException as error:
        if not resumed or (isinstance(error, Exception) and not is_full(error)):
            shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a file or folder for one process; any kind of death lets it go.

    Where the system has no such lock (Windows), nothing is held, and one writer at a time is up to
    the user.

    Args:
        path: an existing file or folder.
        wait: wait for whoever holds it.

    Raises:
        BlockingIOError: another process holds it, and `wait` is off.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def canonical_json(document: object) -> bytes:
    """One document, one sequence of bytes: sorted keys, UTF-8, two-space indent, final newline.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, indent=2, allow_nan=False)
    return (text + "\n").encode()


def sha256_json(document: object) -> str:
    """The sha256 of a document's canonical JSON."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


def sha256_arrays(*arrays: NDArray[np.generic]) -> str:
    """The sha256 of arrays' contents: of each its dtype, shape and little-endian C-order bytes.

    The framing of a file (npy header, compression) does not enter, so that a digest survives a
    change of library.
    """
    digest = hashlib.sha256()
    for array in arrays:
        little = array.dtype.newbyteorder("<")
        digest.update(f"{little.str}{array.shape}".encode())
        step = max(1, DIGEST_BLOCK // max(1, array.itemsize * array[:1].size))
        for start in range(0, len(array), step):
            digest.update(np.ascontiguousarray(array[start : start + step], dtype=little).data)
    return digest.hexdigest()


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder; its rename is durable by itself
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
