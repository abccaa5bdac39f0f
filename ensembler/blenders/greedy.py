"""Greedy selection with replacement, as ensembles are selected in practice.

Caruana, Niculescu-Mizil, Crew & Ksikes (Ensemble Selection from Libraries of Models, ICML 2004)
name three cures for greed: begin with the best few members, select from several random parts of
the members and average, and take the best ensemble on the way, not the last. Of ten real members
bags of half cost .006 of the score against all at once, bags of three quarters nothing to speak of.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import Property
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.spelling import spell
from ensembler.blenders.weights.fitted import FittedWeights, Rule, Solved, fit_weights
from ensembler.blending.greedy import foremost, greedy_selection, places_by_name
from ensembler.blending.objective import scores
from ensembler.blending.problem import Problem
from ensembler.blending.solver import TIE
from ensembler.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Greedy:
    """Selection from members at unit length.

    Of the study's centrings it takes the one under which a selection from all members scores
    higher.

    Attributes:
        bags: draws of members whose selections are averaged.
        share: of the members that a bag draws.
    """

    bags: int = 10
    share: float = 0.75

    properties: ClassVar[frozenset[Property]] = frozenset({Property.SCALE_INVARIANT})
    fallback: ClassVar[str] = "single_best"

    def __post_init__(self) -> None:
        if self.bags < 1 or not 0.0 < self.share <= 1.0:
            raise InputError(
                f"greedy: {self.bags} bags of {self.share} of the members; give one bag or more,"
                " and a share above 0 up to 1"
            )

    @property
    def name(self) -> str:
        return spell("greedy", self)

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        """Fit; draws go by the members' names."""
        columns, unit = data.space.columns, (1.0,) * len(data.names)
        whole = _selecting(columns, np.ones((1, len(data.names)), dtype=bool))
        unbagged = [
            fit_weights(data, held_out, whole, centred=centred, alphas=unit)
            for centred in data.space.centrings
        ]
        best = max(fitted.objective for fitted in unbagged)
        centred = next(f.weighting.centred for f in unbagged if f.objective >= best - TIE)
        bagged = _selecting(columns, _drawn(data.names, self.bags, self.share, seed))
        return fit_weights(data, held_out, bagged, centred=centred, alphas=unit)


def _drawn(names: Sequence[str], bags: int, share: float, seed: int) -> NDArray[np.bool_]:
    """(bags, M) which members each bag draws: those whose hashes are smallest."""
    size = math.ceil(share * len(names))
    drawn = np.zeros((bags, len(names)), dtype=bool)
    for bag, members in enumerate(drawn):
        hashes = [hashlib.sha256(f"{seed} {bag} {name}".encode()).digest() for name in names]
        members[sorted(range(len(names)), key=hashes.__getitem__)[:size]] = True
    return drawn


def _selecting(columns: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> Rule:
    """Each bag selects from its members and the prior; their weights are averaged."""

    def select(problem: Problem) -> Solved:
        allowed = columns & problem.covered
        places = places_by_name(problem.selection.statistics.names)
        total = np.zeros(problem.columns)
        for members in drawn:
            within = allowed & np.r_[True, members]
            if within.any():
                start = _best_few(problem, within, places)
                total += greedy_selection(problem, within, start, places)
        found = np.where(total.any(), total, columns) / problem.scale
        return Solved(found / found.sum(), evaluations=len(drawn))  # each a pass for every round

    return select


def _best_few(
    problem: Problem, columns: NDArray[np.bool_], places: NDArray[np.intp]
) -> NDArray[np.float64]:
    """(K,) ones for the first few columns in order of their own scores, whose sum scores best."""
    alone, order = np.eye(problem.columns)[columns], places[columns]
    values = scores(problem, alone)
    left, ranked = np.arange(len(alone)), list[int]()
    while len(left):
        ranked.append(int(left[foremost(values[left], order[left])]))
        left = left[left != ranked[-1]]
    firsts = np.cumsum(alone[ranked], axis=0)
    return np.asarray(firsts[foremost(scores(problem, firsts), np.arange(len(firsts)))])
