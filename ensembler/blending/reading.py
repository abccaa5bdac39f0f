"""Members' rows and targets read by address where they are mapped, compiled by numba.

The caller keeps the memory alive and vouches for every address and position.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray
from numpy.typing import NDArray

from ensembler.blending.compiling import compiled
from ensembler.blending.instructions import LANES, pointer, prefetch

ABSENT = -1  # the position of a row that a member lacks
LINE = 64  # bytes that come from memory together


@compiled
def address_of(array: NDArray[Any]) -> int:
    """Where an array begins."""
    return np.int64(array.ctypes.data)  # type: ignore[return-value] # to numba it is the same


@compiled
def vector_at(address: int, count: int) -> NDArray[np.float32]:
    """The float32 numbers at an address.

    Unlike a slice it counts no references and needs no look at the signs of indices.
    """
    numbers: NDArray[np.float32] = carray(pointer(address), (count,), np.float32)
    return numbers


@compiled
def fetch(address: int, size: int) -> None:
    """Ask for so many bytes of memory that will soon be read."""
    for offset in range(0, size, LINE):
        prefetch(address + offset)


@compiled
def row_at(address: int, size: int, position: int, dim: int, spare: int) -> int:
    """Where one row of a member lies in float32.

    Args:
        address: of the member's first number.
        size: bytes of each of its numbers, 2 or 4.
        position: of the row in the member, or ABSENT.
        dim: numbers in the row.
        spare: address of memory for `dim` numbers up to a multiple of LANES, those beyond zeros.

    Returns:
        The row's own address where vectors of LANES numbers can be read from it; else `spare`,
        where it was read: exactly, but for NaN in float16, which becomes infinity; zeros if absent.
    """
    place = address + size * dim * position
    if position != ABSENT and size == 4 and dim % LANES == 0:
        return place
    out = vector_at(spare, dim)
    if position == ABSENT:
        out[:] = np.float32(0.0)
    elif size == 4:
        out[:] = vector_at(place, dim)
    else:
        read_halves(place, dim, spare)
    return spare


@compiled
def read_halves(address: int, dim: int, out: int) -> None:
    """Read float16 numbers at one address as float32 at another; NaN becomes infinity."""
    halves = carray(pointer(address), (dim,), np.uint16)
    bits = carray(pointer(out), (dim,), np.uint32)
    for k in range(dim):
        half_bits = np.uint32(halves[k])
        sign = (half_bits & np.uint32(0x8000)) << np.uint32(16)
        bits[k] = sign | ((half_bits & np.uint32(0x7FFF)) << np.uint32(13))
    numbers = vector_at(out, dim)
    for k in range(dim):
        value = numbers[k] * np.float32(2.0**112)  # the exponents' biases: 127 and 15
        numbers[k] = value if abs(value) <= np.float32(65504.0) else np.float32(np.inf)


@compiled
def any_number(address: int, dim: int) -> bool:
    """Whether a row is not all zeros; of most rows the first number tells."""
    for value in vector_at(address, dim):  # noqa: SIM110 - numba compiles loops
        if value != 0.0:
            return True
    return False


@compiled
def unit_target(address: int, position: int, out: NDArray[np.float64]) -> None:
    """Read one target and scale it to length 1; float64 cannot overflow on float32 squares."""
    dim = len(out)
    values = vector_at(address + 4 * dim * position, dim)
    square = 0.0
    for k in range(dim):
        out[k] = values[k]
        square += out[k] * out[k]
    inverse = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
    for k in range(dim):
        out[k] *= inverse
