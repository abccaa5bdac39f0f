"""NumPy's files, read and written."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from ensembler.arrays import hold_array, map_array, read_array, read_arrays, save_array
from ensembler.files import BROKEN

ARRAY = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """The garbage collector runs often, and lets another thread go on whenever it does."""

    def let_go(*_: object) -> None:
        time.sleep(0)

    before = gc.get_threshold()
    gc.callbacks.append(let_go)
    gc.set_threshold(50, 2, 2)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(let_go)


def test_an_array_is_written_as_numpy_does(tmp_path: Path) -> None:
    save_array(tmp_path / "ours.npy", ARRAY)
    np.save(tmp_path / "theirs.npy", ARRAY)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


@pytest.mark.usefixtures("hasty_threads")
def test_threads_that_read_headers_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Without the lock, some hundreds of reads are enough for a SystemError."""
    file, archive = tmp_path / "one.npy", tmp_path / "more.npz"
    np.save(file, ARRAY)
    np.savez(archive, a=ARRAY, b=ARRAY[0])

    def read(_: int) -> bool:
        many = read_arrays(archive)
        same = [map_array(file), read_array(file), many["a"]]
        return all(np.array_equal(one, ARRAY) for one in same) and len(many["b"]) == 3

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(1_500)))


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_held_array_is_the_files_and_read_only(order: Literal["C", "F"], tmp_path: Path) -> None:
    file = tmp_path / "held.npy"
    np.save(file, np.asarray(ARRAY, order=order))
    held = hold_array(file)
    file.unlink()
    np.testing.assert_array_equal(held, ARRAY)
    assert held.flags.c_contiguous == (order == "C")
    with pytest.raises(ValueError, match="read-only"):
        held[0, 0] = 1.0


@pytest.mark.parametrize("read", [hold_array, map_array, read_array, read_arrays])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00\xff\xff", b"PK\x03\x04 and no more"])
def test_a_file_of_another_kind_raises_what_callers_catch(
    tmp_path: Path, read: object, content: bytes
) -> None:
    file = tmp_path / "broken.npy"
    file.write_bytes(content)
    with pytest.raises(BROKEN):
        read(file)  # type: ignore[operator]
