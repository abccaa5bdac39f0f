"""The inner loops of building statistics, compiled by numba (the extra `fast`).

Imported only by a build that wants them. Members are read by address where they are mapped: the
caller keeps them alive and vouches for every position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from ensembler.blending.compiling import compiled
from ensembler.blending.rules import CANCELLED
from ensembler.blending.statistics import SAFE_SQUARES

if TYPE_CHECKING:
    from llvmlite.ir import IRBuilder, Value

TILE = 3  # members times columns whose products are taken at once: nine sums stay in registers
ABSENT = -1  # the position of a row that a member lacks

Outputs = tuple[NDArray[Any], ...]  # of one centring: the arrays of GEOMETRY, in order


@intrinsic  # type: ignore[untyped-decorator] # numba has no types
def _pointer(_context: object, address: Value) -> tuple[object, Callable[..., Value]]:
    """What lies at an address, for `carray` to make an array of."""

    def generate(
        _context: object, builder: IRBuilder, _signature: object, arguments: Sequence[Value]
    ) -> Value:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@compiled
def read_row(
    address: int, half: bool, position: int, out: NDArray[np.float32], bits: NDArray[np.uint32]
) -> None:
    """Read one row of a member as float32, exactly; NaN in float16 is read as infinity.

    Args:
        address: of the member's first number.
        half: whether it is kept in float16, else in float32.
        position: of the row in the member; zeros are read where it is ABSENT.
        out: (d,) where the row goes.
        bits: (d,) the same memory.
    """
    dim = len(out)
    if position == ABSENT:
        out[:] = 0.0
    elif half:
        halves = carray(_pointer(address + 2 * dim * position), (dim,), np.uint16)
        for k in range(dim):
            half_bits = np.uint32(halves[k])
            sign = (half_bits & np.uint32(0x8000)) << np.uint32(16)
            bits[k] = sign | ((half_bits & np.uint32(0x7FFF)) << np.uint32(13))
        for k in range(dim):
            value = out[k] * np.float32(2.0**112)  # the exponents' biases: 127 and 15
            out[k] = value if abs(value) <= np.float32(65504.0) else np.float32(np.inf)
    else:
        values = carray(_pointer(address + 4 * dim * position), (dim,), np.float32)
        for k in range(dim):
            out[k] = values[k]


@compiled
def sum_rows(
    address: int,
    half: bool,
    place: NDArray[np.int64],
    row: NDArray[np.float32],
    bits: NDArray[np.uint32],
    total: NDArray[np.float64],
) -> int:
    """Add a member's rows to `total`, (d,), and count those that are not all zeros."""
    dim = len(total)
    present = 0
    for position in place:
        if position == ABSENT:
            continue
        if half:
            read_row(address, half, position, row, bits)
            values = row
        else:  # where it lies
            values = carray(_pointer(address + 4 * dim * position), (dim,), np.float32)
        for k in range(dim):
            total[k] += values[k]
        present += any_number(values)
    return present


@compiled
def any_number(values: NDArray[np.float32]) -> bool:
    """Whether a row is not all zeros; of most rows the first number tells."""
    for value in values:  # noqa: SIM110 - numba compiles loops
        if value != 0.0:
            return True
    return False


@compiled
def subtract(mean: NDArray[np.float32], row: NDArray[np.float32]) -> None:
    """Centre a row, which may be padded."""
    for k in range(len(mean)):
        row[k] -= mean[k]


@compiled
def unit_target(address: int, position: int, out: NDArray[np.float64]) -> None:
    """Read one target and scale it to length 1; float64 cannot overflow on float32 squares."""
    dim = len(out)
    values = carray(_pointer(address + 4 * dim * position), (dim,), np.float32)
    square = 0.0
    for k in range(dim):
        out[k] = values[k]
        square += out[k] * out[k]
    inverse = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
    for k in range(dim):
        out[k] *= inverse


@compiled
def project(
    unit: NDArray[np.float64], directions: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Write a vector's products with each direction."""
    for f in range(len(directions)):
        along = 0.0
        for k in range(len(unit)):
            along += unit[k] * directions[f, k]
        out[f] = along


@compiled
def sum_targets(
    address: int,
    start: int,
    fold: NDArray[np.int64],
    weight: NDArray[np.float64],
    unit: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Add the weighted unit targets of rows from `start` on to their folds' sums, (F, d)."""
    for i in range(len(fold)):
        unit_target(address, start + i, unit)
        for k in range(len(unit)):
            sums[fold[i], k] += weight[i] * unit[k]


@compiled
def multiply(vectors: NDArray[np.float32], members: int, gram: NDArray[np.float32]) -> None:
    """The members' products with one another (the upper triangle) and with all other columns.

    Args:
        vectors: (K, d) float32, members first; K a multiple of TILE.
        members: how many.
        gram: (K, K) float32, written from the diagonal's tile on in each member's row.
    """
    count, dim = vectors.shape
    for i in range(0, members, TILE):
        a, b, c = vectors[i], vectors[i + 1], vectors[i + 2]
        for j in range(i, count, TILE):
            x, y, z = vectors[j], vectors[j + 1], vectors[j + 2]
            ax = ay = az = bx = by = bz = cx = cy = cz = np.float32(0.0)
            for k in range(dim):
                ax += a[k] * x[k]
                ay += a[k] * y[k]
                az += a[k] * z[k]
                bx += b[k] * x[k]
                by += b[k] * y[k]
                bz += b[k] * z[k]
                cx += c[k] * x[k]
                cy += c[k] * y[k]
                cz += c[k] * z[k]
            gram[i, j], gram[i, j + 1], gram[i, j + 2] = ax, ay, az
            gram[i + 1, j], gram[i + 1, j + 1], gram[i + 1, j + 2] = bx, by, bz
            gram[i + 2, j], gram[i + 2, j + 1], gram[i + 2, j + 2] = cx, cy, cz


@compiled
def scale(
    gram: NDArray[np.float32], shortest: NDArray[np.float64], inverse: NDArray[np.float32],
    out: Outputs, i: int,
) -> bool:  # fmt: skip
    """Write row i of one centring: lengths, and the products as cosines.

    Args:
        gram: (K, K) from `multiply`: M members, the target, F directions.
        shortest: (M,) float64; a member no longer than that is absent.
        inverse: (M,) float32, working memory.
        out: where row i is written.
        i: the row.

    Returns:
        Whether all squares were within SAFE_SQUARES; if not, row i is void.
    """
    cosines, cross, lengths, fold_cosines = out
    members, folds = fold_cosines.shape[1:]
    low, high = SAFE_SQUARES
    for m in range(members):
        square = np.float64(gram[m, m])
        length = np.sqrt(square)
        present = length > shortest[m]
        if present and not low < square < high:
            return False
        lengths[i, m] = length if present else 0.0
        reciprocal = 1.0 / length if present else 0.0
        inverse[m] = reciprocal
        cross[i, m] = gram[m, members] * reciprocal
    pair = -1  # less m + 1: where the pairs of m begin
    for m in range(members):
        for n in range(m + 1, members):
            cosines[i, pair + n] = gram[m, n] * (inverse[m] * inverse[n])
        pair += members - m - 2
        for f in range(folds):
            fold_cosines[i, m, f] = gram[m, members + 1 + f] * inverse[m]
    return True


@compiled
def fill_rows(
    addresses: NDArray[np.int64],
    halves: NDArray[np.bool_],
    place: NDArray[np.int64],
    targets: int,
    start: int,
    means: NDArray[np.float32],
    mean_lengths: NDArray[np.float64],
    directions: NDArray[np.float64],
    vectors: NDArray[np.float32],
    bits: NDArray[np.uint32],
    gram: NDArray[np.float32],
    raw: Outputs,
    centred: Outputs,
    target_cosines: NDArray[np.float64],
    unsafe: NDArray[np.bool_],
) -> None:
    """The statistics of consecutive rows under both centrings.

    Args:
        addresses: (M,) of the members' first numbers.
        halves: (M,) whether a member is kept in float16.
        place: (M, n) each row's position in each member, or ABSENT.
        targets: address of the targets.
        start: the first row.
        means: (M, d) float32, the members' means.
        mean_lengths: (M,) float64, their lengths.
        directions: (F, d) float64, the folds' mean-target directions.
        vectors: (K, at least d) zeros, working memory: K is M + 1 + F up to a multiple of TILE.
        bits: the same memory.
        gram: (K, K), working memory.
        raw: where the statistics go.
        centred: where those of the centred members go.
        target_cosines: (n, F) where the targets' cosines with the directions go.
        unsafe: (n,) set where float32 under- or overflowed and nothing of use was written.
    """
    members, dim = means.shape
    folds = len(directions)
    unit = np.empty(dim)
    shortest = np.empty(members)
    inverse = np.empty(members, np.float32)
    for f in range(folds):
        vectors[members + 1 + f, :dim] = directions[f]
    for i in range(place.shape[1]):
        unit_target(targets, start + i, unit)
        project(unit, directions, target_cosines[i])
        for k in range(dim):
            vectors[members, k] = unit[k]
        for m in range(members):
            read_row(addresses[m], halves[m], place[m, i], vectors[m, :dim], bits[m, :dim])
            # An absent row is not longer than infinity, any other is longer than -1.
            shortest[m] = -1.0 if any_number(vectors[m, :dim]) else np.inf
        multiply(vectors, members, gram)
        unsafe[i] = not scale(gram, shortest, inverse, raw, i)
        if unsafe[i]:
            continue
        for m in range(members):
            if raw[2][i, m] > 0.0:
                shortest[m] = CANCELLED * (raw[2][i, m] + mean_lengths[m])
                subtract(means[m], vectors[m])
        multiply(vectors, members, gram)
        unsafe[i] = not scale(gram, shortest, inverse, centred, i)
