"""Thread-safe reading of .npy and .npz files.

NumPy reads the header of a file as a Python literal, and CPython 3.11 counts the depth of such a
parse once for all threads: two that read headers at the same moment can end in `SystemError: AST
constructor recursion depth mismatch`. So here one thread at a time reads a header.
"""

from __future__ import annotations

import io
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_PARSING = Lock()


def map_array(path: Path) -> np.memmap[Any, np.dtype[Any]]:
    """Memory-map an .npy file, read-only.

    Raises:
        One of `files.BROKEN`: the file is missing, truncated, not .npy, or holds Python objects.
    """
    with _PARSING, np.errstate(over="ignore"):  # an impossible size is refused all the same
        return npy.open_memmap(path, mode="r")


def hold_array(path: Path) -> NDArray[Any]:
    """Memory-map an .npy file, read-only, as one of any number that are held at once.

    Behind each of Python's maps a descriptor stays open, and many systems allow a process 1,024 of
    them or 256. Arrow's map outlives its file.

    Raises:
        One of `files.BROKEN`: as `map_array`.
    """
    import pyarrow as pa

    mapped = map_array(path)
    with pa.memory_map(str(path)) as file:
        first = file.read_buffer(1)  # Arrow has the system read ahead whatever is asked of it
        whole = pa.foreign_buffer(first.address, file.size(), base=first)
    return np.ndarray(mapped.shape, mapped.dtype, whole, mapped.offset, mapped.strides)


def read_array(path: Path) -> NDArray[Any]:
    """Read an .npy file into memory.

    Raises:
        One of `files.BROKEN`, as for `map_array`.
    """
    with _PARSING, path.open("rb") as file:
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an .npz file into memory.

    Raises:
        One of `files.BROKEN`, as for `map_array`, for any of the arrays.
    """
    # Opened here, because NumPy leaves a file open that turns out not to be an archive.
    with _PARSING, path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:  # noqa: TID251
        return {name: arrays[name] for name in arrays.files}


def save_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write a small array; unlike `np.save`, a full disk raises an OSError that `is_full` knows."""
    memory = io.BytesIO()
    np.save(memory, array)
    path.write_bytes(memory.getbuffer())
