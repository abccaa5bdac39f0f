"""One streamed pass over a member: what most checks need of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.metrics import unit_rows
from ensembler.store.reader import Member

BLOCK: Final = 4096  # rows read at once: 12 MiB in float64 at 384 dimensions


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A member and what one pass over its rows found.

    Attributes:
        member: the member, its embeddings still on disk.
        finite: (rows,) bool, False where a row holds NaN or infinity.
        usable: (rows,) bool, finite and of nonzero length.
        cosine: (rows,) float64 with the row's own target, 0 where not usable; None without targets.
        mean: (d,) float64, the mean of the usable rows scaled to length 1; zero without any.
    """

    member: Member
    finite: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    cosine: NDArray[np.float64] | None
    mean: NDArray[np.float64]


def blocks(rows: int) -> Iterator[slice]:
    """Slices that cover 0..rows-1 in order, `BLOCK` rows each."""
    for start in range(0, rows, BLOCK):
        yield slice(start, min(start + BLOCK, rows))


def survey_member(member: Member, targets: NDArray[np.float32] | None) -> Survey:
    """Pass once over a member's rows.

    Args:
        member: the member.
        targets: (samples, d) float32 of unit length, or None for a store without.

    Returns:
        What was found, a few numbers per row.
    """
    rows = len(member.rows)
    finite = np.zeros(rows, dtype=np.bool_)
    usable = np.zeros(rows, dtype=np.bool_)
    cosine = None if targets is None else np.zeros(rows)
    total = np.zeros(member.record.dim)
    for block in blocks(rows):
        vectors = member.embeddings[block]
        finite[block] = np.isfinite(vectors).all(axis=1)
        usable[block] = finite[block] & vectors.any(axis=1)
        unit = usable_unit_rows(vectors, usable[block])
        total += unit.sum(axis=0)
        if targets is not None and cosine is not None:
            cosine[block] = np.einsum("id,id->i", unit, finite_targets(targets, member.rows[block]))
    mean = total / max(1, int(usable.sum()))
    return Survey(member=member, finite=finite, usable=usable, cosine=cosine, mean=mean)


def cosines_by_sample(seen: Survey, samples: int) -> NDArray[np.float64]:
    """(samples,) float64, a member's cosines with the targets, NaN where it has no usable row."""
    cosines = np.full(samples, np.nan)
    if seen.cosine is not None:
        cosines[seen.member.rows[seen.usable]] = seen.cosine[seen.usable]
    return cosines


def finite_targets(targets: NDArray[np.float32], samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """The targets of some samples, NaN and infinity replaced by zero.

    Args:
        targets: (samples, d) float32.
        samples: (n,) int64, which.

    Returns:
        (n, d) float64.
    """
    return np.nan_to_num(targets[samples].astype(np.float64), posinf=0.0, neginf=0.0)


def mean_target(targets: NDArray[np.float32], samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of some samples' targets; with it a mean row has the cosine of random pairing.

    Args:
        targets: (samples, d) float32 of unit length.
        samples: (n,) int64, which; at least one.

    Returns:
        (d,) float64.
    """
    total = np.zeros(targets.shape[1])
    for block in blocks(len(samples)):
        total += finite_targets(targets, samples[block]).sum(axis=0)
    return total / len(samples)


def usable_unit_rows(
    vectors: NDArray[np.floating], usable: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Rows scaled to length 1, those not usable zero.

    Args:
        vectors: (rows, d), any float type.
        usable: (rows,) bool.

    Returns:
        (rows, d) float64.
    """
    unit = unit_rows(vectors)
    unit[~usable] = 0.0
    return unit
