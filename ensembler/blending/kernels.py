"""The inner loops of building statistics, compiled by numba (the extra `fast`).

Imported only by a build that wants them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.compiling import compiled
from ensembler.blending.instructions import COLUMNS, ROWS, multiply_tile
from ensembler.blending.reading import (
    ABSENT,
    address_of,
    any_number,
    fetch,
    row_at,
    unit_target,
    vector_at,
)
from ensembler.blending.rules import CANCELLED
from ensembler.blending.statistics import SAFE_SQUARES

SHORT = 64  # rows added up in float32

Outputs = tuple[NDArray[Any], ...]  # of one centring: the arrays of GEOMETRY, in order


@compiled
def sum_rows(address: int, size: int, place: NDArray[np.int64], total: NDArray[np.float64]) -> int:
    """Add a member's rows to `total`, (d,), in short float32 sums.

    Args:
        address: of the member's first number.
        size: bytes of each of its numbers.
        place: (n,) the rows' positions in the member, or ABSENT.
        total: (d,) float64.

    Returns:
        How many rows are not all zeros.
    """
    dim = len(total)
    spare, part = np.empty(dim, np.float32), np.empty(dim, np.float32)
    present = 0
    for low in range(0, len(place), SHORT):
        part[:] = np.float32(0.0)
        for position in place[low : low + SHORT]:
            if position != ABSENT:
                row = row_at(address, size, position, dim, address_of(spare))
                values = vector_at(row, dim)
                for k in range(dim):
                    part[k] += values[k]
                present += any_number(row, dim)
        for k in range(dim):
            total[k] += part[k]
    return present


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
        total, share = sums[fold[i]], weight[i]
        for k in range(len(unit)):
            total[k] += share * unit[k]


@compiled
def project(
    unit: NDArray[np.float64], directions: NDArray[np.float64], out: NDArray[np.float64], i: int
) -> None:
    """Write a vector's products with each direction, row i of `out`."""
    for f in range(len(directions)):
        along = 0.0
        for k in range(len(unit)):
            along += unit[k] * directions[f, k]
        out[i, f] = along


@compiled
def centre(row: int, mean: int, dim: int, out: int) -> None:
    """Write a row less its mean, all by address; `out` may be the row itself, but not overlap."""
    values, means, centred = vector_at(row, dim), vector_at(mean, dim), vector_at(out, dim)
    if row == out:  # vectors serve only where the compiler sees that nothing overlaps
        for k in range(dim):
            centred[k] -= means[k]
    else:
        for k in range(dim):
            centred[k] = values[k] - means[k]


@compiled
def multiply(
    columns: NDArray[np.int64],
    width: int,
    members: int,
    ahead: NDArray[np.int64],
    wanted: NDArray[np.int64],
    gram: NDArray[np.float32],
) -> None:
    """The members' products with one another (the upper triangle) and with all other columns.

    Args:
        columns: (K,) addresses of (width,) float32 each, members first; K a multiple of COLUMNS.
        width: a multiple of LANES.
        members: how many, at most K.
        ahead: (M,) addresses of what is fetched meanwhile.
        wanted: (M,) bytes of it.
        gram: (K, K) float32, written from the diagonal's tile on in each member's row.
    """
    count = len(columns)
    table, out = address_of(columns), address_of(gram)
    for i in range(0, members, ROWS):
        for m in range(i, min(i + ROWS, members)):
            fetch(ahead[m], wanted[m])
        for j in range(i - i % COLUMNS, count, COLUMNS):
            place = out + 4 * (i * count + j)
            multiply_tile(table + 8 * i, table + 8 * j, width, place, 4 * count)


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
    pairs = address_of(cosines) + 4 * i * cosines.shape[1]
    for m in range(members):
        products = address_of(gram) + 4 * m * len(gram)
        later = members - m - 1
        product = vector_at(products + 4 * (m + 1), later)
        others = vector_at(address_of(inverse) + 4 * (m + 1), later)
        cosine = vector_at(pairs, later)
        own = inverse[m]
        for n in range(later):
            cosine[n] = product[n] * (own * others[n])
        pairs += 4 * later
        along = vector_at(products + 4 * (members + 1), folds)
        fold_cosine = vector_at(address_of(fold_cosines) + 4 * folds * (i * members + m), folds)
        for f in range(folds):
            fold_cosine[f] = along[f] * own
    return True


@compiled
def fill_rows(
    addresses: NDArray[np.int64],
    sizes: NDArray[np.int64],
    place: NDArray[np.int64],
    targets: int,
    start: int,
    means: NDArray[np.float32],
    mean_lengths: NDArray[np.float64],
    directions: NDArray[np.float64],
    vectors: NDArray[np.float32],
    gram: NDArray[np.float32],
    raw: Outputs,
    centred: Outputs,
    target_cosines: NDArray[np.float64],
    unsafe: NDArray[np.bool_],
) -> None:
    """The statistics of consecutive rows under both centrings.

    Args:
        addresses: (M,) of the members' first numbers.
        sizes: (M,) bytes of each number of a member.
        place: (M, n) each row's position in each member, or ABSENT.
        targets: address of the targets.
        start: the first row.
        means: (M, d) float32, the members' means.
        mean_lengths: (M,) float64, their lengths.
        directions: (F, d) float64, the folds' mean-target directions.
        vectors: (K, width) zeros, working memory: K is M + 1 + F up to a multiple of COLUMNS, width
            is d up to a multiple of LANES.
        gram: (K, K), working memory.
        raw: where the statistics go.
        centred: where those of the centred members go.
        target_cosines: (n, F) where the targets' cosines with the directions go.
        unsafe: (n,) set where float32 under- or overflowed and nothing of use was written.
    """
    members, dim = means.shape
    count, width = vectors.shape
    unit = np.empty(dim)
    shortest = np.empty(members)
    inverse = np.empty(members, np.float32)
    own = address_of(vectors) + 4 * width * np.arange(count)
    columns = own.copy()
    ahead = np.empty(members, np.int64)
    half_row = (
        sizes * dim // 2
    )  # one half of the next row is fetched while each centring multiplies
    vectors[members + 1 : members + 1 + len(directions), :dim] = directions
    rows = place.shape[1]
    for i in range(rows):
        unit_target(targets, start + i, unit)
        project(unit, directions, target_cosines, i)
        for k in range(dim):
            vectors[members, k] = unit[k]
        for m in range(members):
            columns[m] = row_at(addresses[m], sizes[m], place[m, i], dim, own[m])
            ahead[m] = addresses[m] + sizes[m] * dim * place[m, min(i + 1, rows - 1)]
            # An absent row is not longer than infinity, any other is longer than -1.
            shortest[m] = -1.0 if any_number(columns[m], dim) else np.inf
        multiply(columns, width, members, ahead, half_row, gram)
        unsafe[i] = not scale(gram, shortest, inverse, raw, i)
        if unsafe[i]:
            continue
        for m in range(members):
            ahead[m] += half_row[m]
            if raw[2][i, m] > 0.0:
                shortest[m] = CANCELLED * (raw[2][i, m] + mean_lengths[m])
                centre(columns[m], address_of(means) + 4 * dim * m, dim, own[m])
                columns[m] = own[m]
        multiply(columns, width, members, ahead, half_row, gram)
        unsafe[i] = not scale(gram, shortest, inverse, centred, i)
