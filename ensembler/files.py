"""Atomic writes, locks and content digests, shared by all file formats.

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

# Raised by NumPy, zipfile and torch for bytes that are not what the file's name says.
BROKEN: Final = (
    OSError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, MemoryError,
    AttributeError, RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
    struct.error,
)  # fmt: skip
FULL: Final = (errno.ENOSPC, errno.EDQUOT)  # no room on the disk, or in the user's share of it
NO_LOCKS: Final = (errno.EBADF, errno.ENOLCK, errno.ENOTSUP)  # raised by file systems without locks


def partial_path(path: Path) -> Path:
    """The temporary path beside `path` that is written first."""
    return path.with_name(f".{path.name}.partial")


def is_full(error: BaseException) -> bool:
    """Whether an error means that the disk, or the user's quota, is full."""
    return isinstance(error, OSError) and error.errno in FULL


def writable_file(path: str | Path) -> Path:
    """Check, before the work starts, that its result can be written to a path.

    Args:
        path: the file to create or replace.

    Returns:
        The same path.

    Raises:
        InputError: the path is a folder (as "." and "" are), or its folder does not exist or
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
    if path.is_dir():  # as "." and "" are, which have no name to derive a temporary one from
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
    """Create a folder that appears at `path`, with all its files on disk, when the block ends.

    Args:
        path: the folder to create; it must not exist, or be empty.
        resumed: keep what a kill, an interruption or a full disk left, and go on from it; any
            other error still removes it.

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
    """Lock a file or folder for one process; the lock ends with the process, however that ends.

    Where the system has no such lock (Windows), or the file system has none (NFS has none for
    folders), nothing is locked, and the user must see to it that one process writes at a time.

    Args:
        path: an existing file or folder.
        wait: wait for the process that holds the lock.

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
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)


def canonical_json(document: object) -> bytes:
    """The canonical bytes of a document: sorted keys, UTF-8, two-space indent, final newline.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, indent=2, allow_nan=False)
    return (text + "\n").encode()


def sha256_json(document: object) -> str:
    """The sha256 of a document's canonical JSON."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


def sha256_arrays(*arrays: NDArray[np.generic]) -> str:
    """The sha256 of arrays' contents: dtype, shape and little-endian C-order bytes of each.

    A file's framing (npy header, compression) does not count, so the digest survives a change of
    library.
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
