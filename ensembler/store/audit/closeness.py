"""A member that is right where no other member is: vectors that betray a prompt in the text.

A text that contains its prompt among other words does not equal the target, and where no captions
are kept nothing but its closeness tells. A model that sees images alone finds hard what others find
hard; one that has read the prompt does not.

Measured on the ten captioners of VIEScore, whose texts know no prompt, and on five of them with the
prompts pasted in, before, after or in the middle of the caption, in a random part of 490 rows:

    rows with the prompt    5 %   10 %   20 %   30 %   50 %   75 %   all
    found                   .32    .69    .64    .64    .69   1.00  1.00

None of the ten is accused; of a thousand draws of whole groups and of three to nine others, 0.8 %
are, most of them of the one captioner that is far better than the rest. In such a member leaks in
less than about half of the rows go unfound: only its captions would tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import first_few
from ensembler.store.audit.finding import Finding, Kind
from ensembler.store.audit.survey import Survey, cosines_by_sample
from ensembler.store.reader import Samples

OTHERS: Final = 3  # members that a row must be hard for: fewer are too poor a yardstick
SHARED: Final = 0.3  # the others' correlation in what they find hard; captioners have .5, noise 0
HARD: Final = 0.25  # of the rows, those where the best of the others does worst
GOOD: Final = 0.9  # the quantile of the others' cosines that is out of reach in a hard row
CLOSE_SHARE: Final = 0.3  # of the hard rows, out of the others' reach: leaks in most of the rows
STRAY_SHARE: Final = 0.04  # of them, that also stray from the member's own: leaks in some rows
SPREADS: Final = 4.0  # from its 5 % to its 25 % quantile, so many above that an honest member ends
FEW_STRAYS: Final = 5  # rows; with fewer, one or two lucky captions would make the share


def find_too_close(seen: Survey, others: Sequence[Survey], samples: Samples) -> Finding | None:
    """Find a member that is near its targets in rows that are hard for all the others.

    Args:
        seen: a member of a store with targets.
        others: all other members.
        samples: the store's rows.

    Returns:
        The finding; None for an honest member, and where the others are too few to tell.
    """
    if seen.cosine is None:
        return None
    table = np.stack([cosines_by_sample(other, len(samples)) for other in (seen, *others)])
    own, theirs = table[0], table[1:]
    judged = np.isfinite(own) & (np.isfinite(theirs).sum(axis=0) >= OTHERS)
    if not judged.any():
        return None
    rows = np.flatnonzero(judged)
    if _agreement(theirs[:, rows]) < SHARED:
        return None
    best = np.nanmax(theirs[:, rows], axis=0)
    hard = rows[best <= np.quantile(best, HARD)]
    reach = float(np.nanquantile(theirs[:, rows], GOOD))
    suspects = hard[own[hard] > reach]
    if len(suspects) < CLOSE_SHARE * len(hard):
        low, quartile, middle = np.quantile(own[hard], (0.05, 0.25, 0.5))
        if middle > np.nanquantile(theirs[:, hard], 0.75):
            return None  # better throughout: an honest member of another kind
        suspects = suspects[own[suspects] > quartile + SPREADS * (quartile - low)]
        if len(suspects) < STRAY_SHARE * len(hard):
            return None
    if len(suspects) < FEW_STRAYS:
        return None
    return Finding(
        kind=Kind.LEAK,
        member=seen.member.name,
        rows=len(suspects),
        message=f"{len(suspects)} of the {len(hard)} rows that are hardest for all others have a"
        f" cosine of {own[suspects].min():.2f} or more with their target; others come above"
        f" {reach:.2f} in one row of ten (ids {first_few(samples.id[suspects], 3)}): has it seen"
        " the prompts? Look at these rows; predict them without the prompts and add the member"
        " again, or remove it",
    )


def _agreement(cosines: NDArray[np.float64]) -> float:
    """Whether hard rows are the same for all: each member's correlation with the rest.

    The lower quartile, so that a pair of twins does not pass for agreement.

    Args:
        cosines: (members, rows), NaN where a member has no row.
    """
    there = np.isfinite(cosines)
    filled, count = np.where(there, cosines, 0.0), there.sum(axis=0)
    correlations = []
    for mine, own in zip(there, filled, strict=True):
        both = mine & (count > 1)
        rest = (filled.sum(axis=0) - own)[both] / (count[both] - 1)
        if both.sum() > 1 and own[both].std() > 0.0 and rest.std() > 0.0:
            correlations.append(np.corrcoef(own[both], rest)[0, 1])
    return float(np.quantile(correlations, 0.25)) if correlations else 0.0
