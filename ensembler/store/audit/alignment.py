"""Rows that belong to other samples: shifted by a constant offset, or sorted in some way.

The cross-correlation of a member with the targets, by FFT over the rows, gives the sum of cosines
at every shift at once. The best of all shifts and sorted orders is then held against the stored
order, group by group (`_is_sure`), so that a weak but honest member is not accused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.store.audit.finding import Finding, Kind
from ensembler.store.audit.survey import (
    Survey,
    blocks,
    finite_targets,
    mean_target,
    usable_unit_rows,
)
from ensembler.store.reader import Samples

CHANCE: Final = 0.01  # bounds the probability that a member without any signal is accused
FEW_GROUPS: Final = 8  # with fewer, chance alone finds an order that suits all of them
UNANIMOUS: Final = 0.8  # few groups convince only when they gain alike: mean over root mean square
OUTLIER: Final = 6.0  # and when the order stands so many deviations out of all shifts
MATERIAL: Final = 0.05  # of the lift over random pairing that an order must win to matter
CELLS: Final = 1 << 21  # numbers transformed at once: 16 MiB in float64, whatever the store's size
# What programs list files by. A hyphen sorts before the dot of an ending, hence file names.
SORTED: Final[dict[str, Callable[[str], Any]]] = {
    "sorted ids": str,
    "sorted file names": "{}.png".format,
    "ids sorted by their numbers": lambda id_: [
        (part.isdecimal() and int(part), part) for part in re.split(r"(\d+)", id_)
    ],
    "ids sorted in lower case": str.casefold,
}
TIE: Final = 1e-6  # mean cosines closer than that are equal; the smaller shift is named


class Order(NamedTuple):
    """A hypothesis about which samples the rows really belong to.

    Attributes:
        name: the sentence's part that describes it.
        sample: (rows,) int64, the sample whose embedding each row would hold.
    """

    name: str
    sample: NDArray[np.int64]


class Fit(NamedTuple):
    """How well an order fits the usable rows, the member's mean subtracted.

    Attributes:
        cosine: mean cosine with the targets in that order; the one figure that keeps the mean.
        total: the sum over rows of inner products with the targets in that order.
        gains: (groups,) float64, what each group gains over the stored order.
    """

    cosine: float
    total: float
    gains: NDArray[np.float64]


def find_misaligned(seen: Survey, targets: NDArray[np.float32], samples: Samples) -> Finding | None:
    """Find a member whose rows surely fit another order better than the stored one.

    Args:
        seen: a member of a store with targets.
        targets: (samples, d) float32 of unit length.
        samples: the store's rows.

    Returns:
        The finding; None for an honest member, and where the groups are too few to tell.
    """
    usable = int(seen.usable.sum())
    if usable == 0 or seen.cosine is None:
        return None
    rows = seen.member.rows
    sums = _correlate(seen, targets, rows, np.arange(len(samples)))
    shift = _best_shift(sums, usable)
    orders = [
        Order(f"rows are shifted by {shift:+d} along the samples", (rows - shift) % len(samples)),
        *_sorted_orders(rows, samples.id),
    ]
    if len(rows) < len(samples):
        shift = _best_shift(_correlate(seen, targets, np.arange(len(rows)), rows), usable)
        name = f"rows are shifted by {shift:+d} along its {len(rows)} samples"
        orders.append(Order(name, np.roll(rows, shift)))
    fits = [_fit(seen, order, targets, samples) for order in orders]
    best = max(range(len(orders)), key=lambda place: fits[place].total)
    order, fit = orders[best], fits[best]
    random = float(seen.mean @ mean_target(targets, rows[seen.usable]))
    own = float(seen.cosine.sum() / usable)
    if fit.cosine - own <= MATERIAL * (fit.cosine - random) or not _is_sure(fit, sums):
        return None
    return Finding(
        kind=Kind.MISALIGNED,
        member=seen.member.name,
        rows=usable,
        message=f"{order.name}: the mean cosine with the targets is {own:.3f} as stored (random"
        f" pairing: {random:.3f}) and {fit.cosine:.3f} with that undone; correct the ids of its"
        f" file and add {seen.member.name!r} again",
    )


def _is_sure(fit: Fit, sums: NDArray[np.float64]) -> bool:
    """Whether the best of all orders beats the stored one by more than chance.

    For a member that fits no order, a group's gain is as likely to be as large with the opposite
    sign, so z, the sum of gains over the root of their summed squares, exceeds any z with
    probability at most exp(-z²/2) (Hoeffding's bound) for each order tried. z never exceeds the
    root of the number of groups: where that is too little, the groups must gain nearly alike, and
    the order must stand far out of all shifts. In 55,000 simulated members without signal and with
    8 to 40 groups, 2 did both.

    Args:
        fit: of the best order.
        sums: (samples,) float64, the totals of all shifts along the samples.
    """
    spread = float(np.linalg.norm(fit.gains))
    if len(fit.gains) < FEW_GROUPS or spread == 0.0:
        return False
    z = float(fit.gains.sum()) / spread
    tried = 2 * len(sums)  # shifts along the samples, and along the member's own rows
    if z > math.sqrt(2.0 * math.log(tried / CHANCE)):
        return True
    middle = float(np.median(sums))
    deviation = 1.4826 * float(np.median(np.abs(sums - middle)))  # a normal's, from its median
    stands_out = fit.total - middle > OUTLIER * deviation
    return stands_out and z > UNANIMOUS * math.sqrt(len(fit.gains))


def _sorted_orders(rows: NDArray[np.int64], ids: NDArray[np.str_]) -> Iterator[Order]:
    """Files in the order of sorted ids read as if in stored order, and the reverse."""
    tried = set()
    for what, key in SORTED.items():
        keys = [key(str(id_)) for id_ in ids]
        of_all = np.array(sorted(range(len(ids)), key=keys.__getitem__), dtype=np.int64)
        if of_all.tobytes() in tried:
            continue
        tried.add(of_all.tobytes())
        place = np.argsort(of_all)
        by_id = np.argsort(place[rows])
        yield Order(f"rows are in the order of {what}, not of the samples", rows[by_id])
        yield Order(f"rows in the order of the samples were given {what}", rows[np.argsort(by_id)])
        if len(rows) < len(ids):
            yield Order(f"rows are in the order of all samples' {what}", of_all[rows])
            yield Order(f"rows in the order of all samples were given {what}", place[rows])


def _correlate(
    seen: Survey,
    targets: NDArray[np.float32],
    place: NDArray[np.int64],
    circle: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Fit of the rows to the samples on a circle, for every shift.

    Args:
        seen: the member; its mean is taken off, so that only what differs between rows counts.
        targets: (samples, d) float32 of unit length.
        place: (rows,) int64, where on the circle each row stands.
        circle: (length,) int64, the sample at each place.

    Returns:
        (length,) float64; entry s is the sum of inner products of each row with the target s
        places before it.
    """
    length, dim = len(circle), targets.shape[1]
    usable = np.flatnonzero(seen.usable)
    scale = _row_scales(seen)[usable, None]
    spectrum = np.zeros(length // 2 + 1, dtype=np.complex128)
    step = max(1, CELLS // length)
    for start in range(0, dim, step):
        columns = slice(start, min(start + step, dim))
        vectors = np.zeros((length, columns.stop - start))
        vectors[place[usable]] = (
            seen.member.embeddings[usable, columns] * scale - seen.mean[columns]
        )
        aims = finite_targets(targets[:, columns], circle)
        aims -= aims.mean(axis=0)
        spectrum += np.einsum(
            "fd,fd->f", np.fft.rfft(vectors, axis=0), np.fft.rfft(aims, axis=0).conj()
        )
    return np.asarray(np.fft.irfft(spectrum, n=length))


def _best_shift(sums: NDArray[np.float64], rows: int) -> int:
    """The shift of the largest sum, by at most half the circle; of ties the smallest."""
    tied = np.flatnonzero(sums >= sums.max() - TIE * rows)
    signed = np.where(tied > len(sums) // 2, tied - len(sums), tied)
    return int(signed[np.argmin(np.abs(signed))])


def _row_scales(seen: Survey) -> NDArray[np.float64]:
    """Factors that bring each row to length 1, (rows,) float64; 0 where it is not usable."""
    scales = np.zeros(len(seen.usable))
    for block in blocks(len(scales)):
        usable = seen.usable[block]
        lengths = np.linalg.norm(seen.member.embeddings[block][usable].astype(np.float64), axis=1)
        scales[block][usable] = 1.0 / lengths
    return scales


def _fit(seen: Survey, order: Order, targets: NDArray[np.float32], samples: Samples) -> Fit:
    """Compare an order with the stored one, row by row."""
    rows, usable = seen.member.rows, seen.usable
    cosine, total, gain = 0.0, 0.0, np.zeros(len(rows))
    for block in blocks(len(rows)):
        unit = usable_unit_rows(seen.member.embeddings[block], usable[block])
        centred = (unit - seen.mean) * usable[block, None]
        aim = finite_targets(targets, order.sample[block])
        stored = finite_targets(targets, rows[block])
        cosine += float(np.einsum("id,id->", unit, aim))
        total += float(np.einsum("id,id->", centred, aim))
        gain[block] = np.einsum("id,id->i", centred, aim - stored)
    groups = np.unique(samples.group[rows[usable]], return_inverse=True)[1]
    return Fit(
        cosine=cosine / int(usable.sum()),
        total=total,
        gains=np.bincount(groups, weights=gain[usable]).astype(np.float64),
    )
