"""Scores for samples that come from another mix of sources than those to fit on.

The 4th place's weights of best validation were not those of the best leaderboard. A mix is a matter
of row weights, and so is a source left out: its rows weigh nothing in any fit, prior, mean or
choice, and alone count when the fit is scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blenders.weights.fitted import weighted_blend
from ensembler.blending.weighting import Weighting
from ensembler.errors import InputError, first_few
from ensembler.evaluation.folding import FEWEST
from ensembler.store.reader import Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A source scored by fits on the others.

    Attributes:
        source: its name.
        rows: how many.
        scores: blend → mean cosine on its rows, nothing of the source or of their groups fitted.
        known: blend → the same by fits that knew the source, though not the rows' groups.
        own_means: blend → what it scores there with its members centred on the source's own means
            instead of the other sources'; of those of plain weights that centre.
    """

    source: str
    rows: int
    scores: Mapping[str, float]
    known: Mapping[str, float]
    own_means: Mapping[str, float]

    @property
    def best(self) -> str:
        """The blend that scores highest."""
        return max(self.scores, key=self.scores.__getitem__)


class Sources(NamedTuple):
    """The sources with a row of any weight.

    Attributes:
        enough: without each of these there is enough to fit on.
        needed: without each of these there is not.
    """

    enough: tuple[str, ...]
    needed: tuple[str, ...]


def sources_to_leave_out(samples: Samples) -> Sources:
    """Find the sources that can be left out: those without which FEWEST groups are left.

    Raises:
        InputError: none can.
    """
    counts = samples.weight > 0.0
    sources = [str(source) for source in np.unique(samples.source[counts])]
    left = {
        source: len(np.unique(samples.group[counts & (samples.source != source)]))
        for source in sources
    }
    enough = tuple(source for source in sources if left[source] >= FEWEST)
    if len(sources) == 1:
        only = f"source {sources[0]!r}" if sources[0] else "one unnamed source"
        raise InputError(
            f"no source can be left out: all samples are of {only}; name sources in the column"
            " `source` of the samples"
        )
    if not enough:
        raise InputError(
            f"no source can be left out: without {first_few(sources, 3)} the others have"
            f" {first_few(left.values(), 3)} groups, and {FEWEST} are needed: add samples of other"
            " groups"
        )
    return Sources(enough, tuple(source for source in sources if source not in enough))


def own_means_cosines(
    repeats: Sequence[Data],
    weightings: Sequence[Sequence[Weighting | None]],
    rows: NDArray[np.bool_],
) -> NDArray[np.float64] | None:
    """Cosines of some rows under a blend whose members are centred on these rows' own means.

    Args:
        repeats: the store under each folding.
        weightings: for each, the weights without each fold; None for more than weights.
        rows: (rows,) bool, which: all that are to be predicted together.

    Returns:
        (n,) float64, the mean cosine of each over the repeats; None where no fit is one of plain
        weights that centres.
    """
    known = [[weighting for weighting in without if weighting] for without in weightings]
    if not any(weighting.centred for without in known for weighting in without):
        return None

    @cache
    def means(names: tuple[str, ...]) -> NDArray[np.float32]:
        return means_of(repeats[0], names, np.flatnonzero(rows))

    total = np.zeros(len(rows))
    for data, without in zip(repeats, known, strict=True):
        # Of many members, each folding may have kept others.
        own = replace(data.statistics, means=means(data.names))
        for fold, weighting in enumerate(without):
            at = np.flatnonzero(rows & (data.statistics.fold == fold))
            total[at] += data.cosines(weighted_blend(own, weighting), at, frozenset({fold}))
    return np.asarray(total[rows] / len(repeats))


def means_of(data: Data, names: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(M, d) each member's mean over those of some rows that it covers; zeros where it has none."""
    total, count = np.zeros((len(names), data.dim)), np.zeros(len(names))
    for block in data.blocks(names, rows):
        for m, name in enumerate(names):
            total[m] += block.members[name].sum(axis=0, dtype=np.float64)
            count[m] += np.count_nonzero(block.members[name].any(axis=1))
    return (total / np.maximum(count, 1.0)[:, None]).astype(np.float32)


def safest(left_out: Sequence[LeftOut]) -> str:
    """The blend whose worst loss against each source's best blend is least."""
    names = left_out[0].scores

    def worst_loss(name: str) -> float:
        return max(part.scores[part.best] - part.scores[name] for part in left_out)

    return min(names, key=worst_loss)
