"""Scoring candidates: the only place where a study touches the statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.greedy import greedy_selection
from ensembler.blending.objective import scores
from ensembler.blending.problem import Problem
from ensembler.blending.solver import TIE, Bounds, Solution, normalise, solve
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting
from ensembler.search.candidate import Candidate

Scaling = tuple[bool, tuple[float, ...]]  # a problem's centring and norms


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A candidate's weights and what they are worth on the rows."""

    value: float
    weighting: Weighting
    status: str


class Scorer:
    """Scores candidates on some rows of the statistics.

    Args:
        statistics: of all rows.
        rows: (n,) int64, ascending: the rows to score on.
        held_out: the fold whose targets no prior may know, or None.
        columns: (K,) which columns may have weight.
        bounds: of the weights.
        seed: of the solver's random starts.
        jobs: threads; results do not depend on it.
    """

    def __init__(
        self,
        statistics: Statistics,
        rows: NDArray[np.int64],
        held_out: int | None,
        *,
        columns: NDArray[np.bool_],
        bounds: Bounds,
        seed: int,
        jobs: int = 1,
    ) -> None:
        self._columns, self._bounds, self._seed, self._jobs = columns, bounds, seed, jobs

        @lru_cache(maxsize=2)  # both centrings of unit-length members, which most candidates share
        def problem(centred: bool, alphas: tuple[float, ...]) -> Problem:
            return Problem(
                statistics=statistics,
                rows=rows,
                held_out=held_out,
                centred=centred,
                alphas=np.array(alphas),
            )

        @cache
        def anchor(centred: bool, alphas: tuple[float, ...]) -> Solution:
            own = problem(centred, alphas)
            return solve(own, columns & own.covered, bounds=bounds, seed=seed)

        self._problem, self._anchor = problem, anchor

    def score(self, candidates: Sequence[Candidate]) -> list[Scored]:
        """Score a batch; candidates with given weights and equal norms share one matrix product.

        Args:
            candidates: any number.

        Returns:
            One result for each, in order.
        """
        from joblib import Parallel, delayed

        together: dict[Scaling, list[int]] = {}
        for place, candidate in enumerate(candidates):
            together.setdefault((candidate.centred, candidate.alphas), []).append(place)
        batches = [[candidates[place] for place in places] for places in together.values()]
        results = Parallel(n_jobs=self._jobs, prefer="threads")(
            delayed(self._score_alike)(scaling, batch)
            for scaling, batch in zip(together, batches, strict=True)
        )
        placed = {
            place: scored
            for places, batch in zip(together.values(), results, strict=True)
            for place, scored in zip(places, batch, strict=True)
        }
        return [placed[place] for place in range(len(candidates))]

    def finish(self, candidate: Candidate) -> Scored:
        """The best candidate's weights: as scored or, where that was from one start, from all."""
        scored = self.score([candidate])[0]
        if candidate.rule != "solved" or len(set(candidate.alphas)) == 1:
            return scored
        problem = self._problem(candidate.centred, candidate.alphas)
        columns = self._columns & problem.covered
        cold = solve(problem, columns, bounds=self._bounds, seed=self._seed)
        if cold.value <= scored.value + TIE:
            return scored
        weighting = replace(scored.weighting, weights=tuple(cold.weights.tolist()))
        return Scored(value=cold.value, weighting=weighting, status=cold.status.name)

    def with_weights(self, candidate: Candidate) -> Candidate:
        """The candidate with the weights its rule gives it, spelt out."""
        weights = self.score([candidate])[0].weighting.weights
        return replace(candidate, rule="given", weights=weights)

    def _score_alike(self, scaling: Scaling, candidates: Sequence[Candidate]) -> list[Scored]:
        problem = self._problem(*scaling)
        found = [self._weights(problem, candidate) for candidate in candidates]
        values = scores(problem, np.stack([weights * problem.scale for weights, _ in found]))
        return [
            Scored(
                value=float(value),
                weighting=Weighting(
                    centred=scaling[0], alphas=scaling[1], weights=tuple(weights.tolist())
                ),
                status=status,
            )
            for (weights, status), value in zip(found, values, strict=True)
        ]

    def _weights(self, problem: Problem, candidate: Candidate) -> tuple[NDArray[np.float64], str]:
        columns = self._columns & problem.covered
        if not columns.any():  # members without a row and no prior: the fallback scores all rows
            return normalise(self._columns.astype(np.float64), self._bounds), "given"
        if candidate.rule == "solved":
            solution = self._solve(problem, columns, candidate)
            return solution.weights, solution.status.name
        members = columns.copy()
        members[0] = False
        if candidate.rule == "given":
            given = np.where(columns, np.array(candidate.weights), 0.0)
            given = given if given.any() else columns.astype(np.float64)
        elif candidate.rule == "uniform":
            given = members.astype(np.float64)
        elif candidate.rule == "single_best":
            singles = np.eye(problem.columns)[members]
            given = singles[int(scores(problem, singles).argmax())]
        else:
            given = greedy_selection(problem, columns) / problem.scale
        return normalise(given, self._bounds), "given"

    def _solve(
        self, problem: Problem, columns: NDArray[np.bool_], candidate: Candidate
    ) -> Solution:
        """From several starts when all norms are alike, from that solution when they are mixed.

        Norms move the optimum little: the solution of the plain candidate with the same centring
        and the first member's norm is a start that saves two ascents in three. It depends on the
        candidate alone, not on what was scored before.
        """
        plain = (candidate.alphas[0],) * len(candidate.alphas)
        anchor = self._anchor(candidate.centred, plain)
        if candidate.alphas == plain:
            return anchor
        warm = anchor.scaled
        return solve(problem, columns, bounds=self._bounds, seed=self._seed, warm=warm)
