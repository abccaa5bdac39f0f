"""A member whose rows know nothing of their own targets, though other members' rows do.

That is what a file in the order of a folder (`os.listdir`) looks like: `alignment` can undo orders
that have a rule, and this one has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.store.audit.finding import Finding, Kind
from ensembler.store.audit.survey import Survey, mean_target
from ensembler.store.reader import Samples

OTHERS: Final = 2  # members that must know their targets before a third is suspected
# Of what the others gain over random pairing, at two standard errors above a member's own gain: ten
# captioners in a random order keep at most .10, in their own the weakest of them .21.
NOTHING: Final = 0.1
SURE: Final = 2.0


class Lift(NamedTuple):
    """How much a member's rows know of their own targets.

    Attributes:
        stored: mean cosine with them.
        random: mean cosine with everybody's.
        error: the standard error of `stored`, over groups.
    """

    stored: float
    random: float
    error: float

    @property
    def gain(self) -> float:
        """The gain over random pairing."""
        return self.stored - self.random


def lift_of(seen: Survey, targets: NDArray[np.float32], samples: Samples) -> Lift | None:
    """Compare a member's pairing with a random one; None without a usable row.

    Args:
        seen: a member of a store with targets.
        targets: (samples, d) float32 of unit length.
        samples: the store's rows.
    """
    if seen.cosine is None or not seen.usable.any():
        return None
    rows, cosine = seen.member.rows[seen.usable], seen.cosine[seen.usable]
    stored = float(cosine.mean())
    groups = np.unique(samples.group[rows], return_inverse=True)[1]
    return Lift(
        stored=stored,
        random=float(seen.mean @ mean_target(targets, rows)),
        error=float(np.linalg.norm(np.bincount(groups, cosine - stored))) / len(rows),
    )


def find_unrelated(seen: Survey, own: Lift | None, others: Sequence[Lift | None]) -> Finding | None:
    """Find a member that surely gains next to nothing over random pairing, where the others do.

    Args:
        seen: the member.
        own: its lift.
        others: those of all other members.

    Returns:
        The finding; None for a member that is merely weak, and without others to go by.
    """
    known = [lift for lift in others if lift is not None]
    if own is None or len(known) < OTHERS:
        return None
    usual = float(np.median([lift.gain for lift in known]))
    if own.gain + SURE * own.error >= NOTHING * usual:
        return None
    return Finding(
        kind=Kind.MISALIGNED,
        member=seen.member.name,
        rows=int(seen.usable.sum()),
        message=f"rows know nothing of their own targets: the mean cosine is {own.stored:.3f},"
        f" random pairing {own.random:.3f} (other members gain {usual:.3f}); were they written in a"
        " folder's order, that of os.listdir? Write the ids in the order in which the images were"
        f" read and add {seen.member.name!r} again, or remove it",
    )
