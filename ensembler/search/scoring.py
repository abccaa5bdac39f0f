"""Scoring candidates: the only place where a study touches the statistics.

Where rows are many, candidates are first solved on a sample of them. Whoever falls behind the best
trial or an earlier candidate of the batch there, row by row, by more than chance allows, is
screened out: all rows are never asked. Whatever survives is solved on all rows, from the sample's
weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.greedy import foremost, greedy_selection, places_by_name
from ensembler.blending.objective import scores
from ensembler.blending.solver import GIVEN, NOISE, TIE, Bounds, normalise
from ensembler.blending.statistics import HeldOut, Statistics
from ensembler.blending.weighting import Weighting
from ensembler.search.candidate import SCREENED, Candidate, Scaling, Trial
from ensembler.search.ground import Ground

SAMPLE = 4096  # rows of the sample; with fewer than twice as many there is none
EVEN = 0.1  # nor is there one where most of the weight lies on a smaller share of the rows
CERTAIN = 4.0  # standard errors behind the leader at which a candidate is given up
SMALLEST_LEAD = 1e-6  # and never for less than this: solutions themselves are not more exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A candidate's weights and what they are worth on the rows: an estimate if screened out."""

    value: float
    weighting: Weighting
    status: str


class Scorer:
    """Scores candidates on some rows of the statistics.

    Args:
        statistics: of all rows.
        rows: (n,) int64, ascending: the rows to score on.
        held_out: the folds whose targets no prior may know; None for none.
        columns: (K,) which columns may have weight.
        bounds: of the weights.
        seed: of the sample, and of the solver's random starts.
        jobs: threads; results do not depend on it.
        trust: of the solver.
        to_cut: whether to keep problems for the scorers of parts of the rows.
        whole: such a scorer on all rows, where these are part of them.
    """

    def __init__(
        self,
        statistics: Statistics,
        rows: NDArray[np.int64],
        held_out: HeldOut,
        *,
        columns: NDArray[np.bool_],
        bounds: Bounds,
        seed: int,
        jobs: int = 1,
        trust: float = 0.0,
        to_cut: bool = False,
        whole: Scorer | None = None,
    ) -> None:
        ground = partial(
            Ground,
            statistics,
            held_out=held_out,
            columns=columns,
            bounds=bounds,
            seed=seed,
            to_cut=to_cut,
        )
        self._columns, self._bounds, self._jobs = columns, bounds, jobs
        self._places = places_by_name(statistics.names)  # so that ties know no order of members
        if whole:
            drawn = np.intersect1d(whole.sample.rows, rows)
        elif len(rows) >= 2 * SAMPLE:
            drawn = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE, replace=False))
        else:
            drawn = rows
        weight = statistics.weight[rows]
        counting = weight.sum() ** 2 / max(weight @ weight, 1e-300)  # Kish's effective sample size
        few = len(drawn) < len(rows) and counting >= EVEN * len(rows)
        if few:  # the last step from a sample's weights gains less than float32 can show
            trust = max(trust, NOISE)
        self.ground: Ground = ground(rows, trust=trust, whole=whole.ground if whole else None)
        self.sample: Ground = self.ground
        if few:
            lent = whole.sample if whole else None
            self.sample = ground(drawn, trust=SMALLEST_LEAD, whole=lent)
        self._solved = cache(self._score_solved)

    def score(
        self,
        candidates: Sequence[Candidate],
        *,
        best: Trial | None = None,
        batch: Sequence[Candidate] = (),
    ) -> list[Scored]:
        """Score candidates; those with given weights and equal norms share one matrix product.

        Args:
            candidates: any number.
            best: the best trial that was solved on all rows; None to score all in full.
            batch: the candidates and those proposed with them, in order; each competes with the
                earlier ones, whoever scores them.

        Returns:
            One result for each, in order.
        """
        from joblib import Parallel, delayed

        leaders = self._leaders(best, batch or candidates) if best else {}

        def score_alike(scaling: Scaling, solved: bool, places: list[int]) -> list[Scored]:
            if not solved:
                return self._score_given(scaling, [candidates[place] for place in places])
            estimate = best and self._hopeless(scaling, best, leaders.get(scaling))
            return [estimate or self._solved(scaling)] * len(places)

        together: dict[tuple[Scaling, bool], list[int]] = {}
        for place, candidate in enumerate(candidates):
            alike = (candidate.scaling, candidate.rule == "solved")
            together.setdefault(alike, []).append(place)
        results = Parallel(n_jobs=self._jobs, prefer="threads")(
            delayed(score_alike)(*alike, places) for alike, places in together.items()
        )
        placed = {
            place: scored
            for places, batch in zip(together.values(), results, strict=True)
            for place, scored in zip(places, batch, strict=True)
        }
        return [placed[place] for place in range(len(candidates))]

    def foretell(self, candidates: Iterable[Candidate]) -> dict[Candidate, float]:
        """What candidates score on the sample, in their order.

        Args:
            candidates: any; left out is one that is not solved or has no column on the sample.

        Returns:
            Each candidate once, with its mean cosine; nothing where there is no sample.
        """
        from joblib import Parallel, delayed

        if self.sample is self.ground:
            return {}
        told = [
            candidate
            for candidate in dict.fromkeys(candidates)
            if candidate.rule == "solved" and self.sample.columns(candidate.scaling).any()
        ]
        means = Parallel(n_jobs=self._jobs, prefer="threads")(
            delayed(self.sample.mean_cosine)(candidate.scaling) for candidate in told
        )
        return dict(zip(told, means, strict=True))

    def finish(self, candidate: Candidate) -> Scored:
        """The best candidate's weights: as scored or, where that was from one start, from all."""
        scored = self.score([candidate])[0]
        if candidate.rule != "solved" or len(set(candidate.alphas)) == 1:
            return scored
        scaling = candidate.scaling
        cold = self.sample.solve(scaling)
        if cold.value <= self.sample.solution(scaling).value + TIE:
            return scored
        if self.sample is not self.ground:
            cold = self.ground.solve(scaling, cold.weights)
            if cold.value <= scored.value + TIE:
                return scored
        weighting = replace(scored.weighting, weights=tuple(cold.weights.tolist()))
        return Scored(value=cold.value, weighting=weighting, status=cold.status.name)

    def with_weights(self, candidate: Candidate) -> Candidate:
        """The candidate with the weights its rule gives it, spelt out."""
        weights = self.score([candidate])[0].weighting.weights
        return replace(candidate, rule="given", weights=weights)

    def _score_solved(self, scaling: Scaling) -> Scored:
        """Solved on all rows, from the sample's weights where there is a sample that tells any."""
        if not self.ground.columns(scaling).any():
            return self._score_given(scaling, [Candidate(centred=scaling[0], alphas=scaling[1])])[0]
        if self.sample is self.ground or not self.sample.columns(scaling).any():
            solution = self.ground.solution(scaling)
        else:
            solution = self.ground.solve(scaling, self.sample.solution(scaling).weights)
        return _scored(scaling, solution.weights, solution.value, solution.status.name)

    def _score_given(self, scaling: Scaling, candidates: Sequence[Candidate]) -> list[Scored]:
        """One matrix product for all candidates whose weights need no solver."""
        problem = self.ground.problem(scaling)
        found = [self._weights(scaling, candidate) for candidate in candidates]
        values = scores(problem, np.stack([weights * problem.scale for weights in found]))
        return [
            _scored(scaling, weights, float(value), GIVEN)
            for weights, value in zip(found, values, strict=True)
        ]

    def _leaders(self, best: Trial, batch: Sequence[Candidate]) -> dict[Scaling, Scaling]:
        """Who was ahead on the sample when each candidate's turn came; nobody without a sample.

        Later candidates do not count: a batch may be cut short, and the leader must be scored.
        """
        means = self.foretell((best.candidate, *batch))
        if best.candidate not in means:
            return {}
        leaders, leader = {}, best.candidate
        for candidate, mean in means.items():
            leader = candidate if mean > means[leader] else leader
            leaders[candidate.scaling] = leader.scaling
        return leaders

    def _hopeless(self, scaling: Scaling, best: Trial, leader: Scaling | None) -> Scored | None:
        """What the sample says of a candidate that it rules out; None if it does not.

        All are solved on the sample, so that all are flattered alike; then the difference of two
        blends' cosines has the standard error of a mean over rows drawn without replacement.
        """
        sample = self.sample
        if leader in (None, scaling):
            return None
        behind = sample.cosines(leader) - sample.cosines(scaling)
        mean = float(sample.share @ behind)
        unseen = 1.0 - len(sample.rows) / len(self.ground.rows)
        error = float(np.sqrt(unseen * (sample.share**2 @ (behind - mean) ** 2)))
        if mean <= max(CERTAIN * error, SMALLEST_LEAD):
            return None
        known = sample.mean_cosine(best.candidate.scaling)
        estimate = best.value + sample.mean_cosine(scaling) - known
        return _scored(scaling, sample.solution(scaling).weights, estimate, SCREENED)

    def _weights(self, scaling: Scaling, candidate: Candidate) -> NDArray[np.float64]:
        problem, columns = self.ground.problem(scaling), self.ground.columns(scaling)
        members = columns.copy()
        members[0] = False
        if not members.any():  # the prior alone has rows
            members = columns
        if not columns.any():  # members without a row and no prior: the fallback scores all rows
            found = self._columns.astype(np.float64)
        elif candidate.rule == "given":
            given = np.where(columns, np.array(candidate.weights), 0.0)
            found = given if given.any() else columns.astype(np.float64)
        elif candidate.rule == "uniform":
            found = members.astype(np.float64)
        elif candidate.rule == "single_best":
            singles = np.eye(problem.columns)[members]
            found = singles[foremost(scores(problem, singles), self._places[members])]
        else:
            ground = self.sample if self.sample.columns(scaling).any() else self.ground
            few = ground.problem(scaling)
            taken = greedy_selection(few, ground.columns(scaling), places=self._places)
            found = taken / few.scale
        return normalise(found, self._bounds)


def _scored(scaling: Scaling, weights: NDArray[np.float64], value: float, status: str) -> Scored:
    centred, alphas = scaling
    weighting = Weighting(centred=centred, alphas=alphas, weights=tuple(weights.tolist()))
    return Scored(value=value, weighting=weighting, status=status)
