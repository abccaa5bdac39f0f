"""Strengths of blenders, chosen by the folds within their training rows.

Each inner fold is held out in turn too, the candidates are fitted on the rest, and their
cosines on its rows are added up. So a strength is judged on rows that its fit did not know, and an
outer nested estimate, which repeats the choice without its own fold, stays honest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data, HeldFolds

FEWEST = 3  # inner folds to choose by: one is scored, one trained on, one tells the latter's prior
# Rows scored that tell strengths apart: no further fold is asked. Over 4,000 rows in groups of four
# the best of six strengths led each of the others by nine standard errors or more.
ENOUGH = 3000
TIE = 1e-7  # mean cosines this close are equal, as far as float32 statistics can tell

FoldScores = Callable[[HeldFolds, int], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Choice:
    """The strength chosen.

    Attributes:
        index: of the candidate chosen.
        scores: (S,) float64, each candidate's weighted mean cosine over the inner folds asked; None
            where there were too few to choose by, and the default was taken.
    """

    index: int
    scores: NDArray[np.float64] | None


def choose_strength(data: Data, held_out: HeldFolds, score: FoldScores, *, default: int) -> Choice:
    """Choose among candidates by inner folds.

    Args:
        data: its folds and row weights decide.
        held_out: folds whose targets nothing may know.
        score: called with (held_out and j, j) for each inner fold j: fits the candidates without
            these folds and returns (S,) float64, for each the sum over the rows of fold j of row
            weight times cosine. Candidates are ordered: the simplest, or the most strongly
            regularised, first.
        default: the index taken where fewer than FEWEST folds, or rows of no weight, are left.

    Returns:
        The candidate with the best mean; the first of those within TIE of it.
    """
    weight = data.statistics.weight
    few = len(data.inner_folds(held_out)) < FEWEST
    if few or not weight[data.training_rows(held_out)].any():
        return Choice(default, None)
    folds = asked_folds(data, held_out, ENOUGH)
    total = sum((score(held_out | {fold}, fold) for fold in folds), start=np.zeros(1))
    scores = total / sum(weight[data.fold_rows(fold)].sum() for fold in folds)
    return Choice(int(np.flatnonzero(scores >= scores.max() - TIE)[0]), scores)


def asked_folds(data: Data, held_out: HeldFolds, enough: int) -> tuple[int, ...]:
    """The inner folds whose rows are scored: the first that have enough, else all.

    Args:
        data: its folds and row weights decide; rows of no weight do not count.
        held_out: folds whose targets nothing may know.
        enough: how many rows.
    """
    rows, asked = 0, list[int]()
    for fold in data.inner_folds(held_out):
        if rows < enough:
            asked.append(fold)
            rows += int(np.count_nonzero(data.statistics.weight[data.fold_rows(fold)]))
    return tuple(asked)
