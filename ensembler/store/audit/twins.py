"""Two members that are practically one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.store.audit.finding import FEW, SAME, Finding, Kind
from ensembler.store.audit.survey import Survey, blocks, usable_unit_rows

PROBE: Final = 64  # rows, spread evenly, that settle most pairs without reading the rest
PROBE_MARGIN: Final = 0.01  # a pair whose probe falls this far below SAME is not read on


def find_twins(seen: Survey, earlier: Iterable[Survey]) -> Iterator[Finding]:
    """Find earlier members with practically the same vectors, up to each row's scale.

    Args:
        seen: the later member, which gets the findings.
        earlier: the members before it.

    Yields:
        One finding per pair whose mean cosine over the rows that both have is above `SAME`.
    """
    for other in earlier:
        mine, theirs = _common(seen, other)
        if len(mine) < FEW:
            continue
        probe = np.unique(np.linspace(0, len(mine) - 1, PROBE).astype(np.int64))
        if _mean_cosine(seen, mine[probe], other, theirs[probe]) <= SAME - PROBE_MARGIN:
            continue
        alike = _mean_cosine(seen, mine, other, theirs)
        if alike > SAME:
            yield Finding(
                kind=Kind.TWIN,
                member=seen.member.name,
                rows=len(mine),
                message=f"the same vectors as {other.member.name!r} in {len(mine)} common rows"
                f" (mean cosine {alike:.5f}): together they count twice; remove one of the two, or"
                " add the right file",
            )


def _common(seen: Survey, other: Survey) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each of the two keeps the samples that are usable in both."""
    mine, theirs = np.flatnonzero(seen.usable), np.flatnonzero(other.usable)
    _, first, second = np.intersect1d(
        seen.member.rows[mine], other.member.rows[theirs], assume_unique=True, return_indices=True
    )
    return mine[first], theirs[second]


def _mean_cosine(
    seen: Survey, mine: NDArray[np.int64], other: Survey, theirs: NDArray[np.int64]
) -> float:
    total = 0.0
    for block in blocks(len(mine)):
        left, right = mine[block], theirs[block]
        total += np.einsum(
            "id,id->",
            usable_unit_rows(seen.member.embeddings[left], seen.usable[left]),
            usable_unit_rows(other.member.embeddings[right], other.usable[right]),
        )
    return float(total / len(mine))
