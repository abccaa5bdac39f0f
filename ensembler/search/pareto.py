"""Members for their time: the subsets that no other beats in score and seconds alike.

A multi-objective study over which members are in; the weights of each subset are solved. It starts
from each member alone and from the first few of three orders: by their own scores, by their
seconds, by their weights among all. Then come the neighbours of the best so far, one member more,
less or exchanged, and last what NSGA-II proposes (Deb, Pratap, Agarwal & Meyarivan, A Fast and
Elitist Multiobjective Genetic Algorithm, 2002). Where subsets are few, all are tried instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray

from ensembler.blending.objective import scores
from ensembler.blending.problem import Problem
from ensembler.blending.solver import Bounds, Solution, solve
from ensembler.search.quiet import quiet_optuna

FEW = 7  # members up to which all subsets are tried
SAMPLE = 4096  # rows that subsets are solved on where there are twice as many; the best then on all
TRIED = 500  # subsets tried at most before the sampler's
SAMPLED = 100  # those of the sampler
POPULATION = 30  # of NSGA-II
TIE = 5e-8  # of score: as little as float32 statistics can tell, which no second is worth
ROUNDING = 1e-9  # relative: sums of the same seconds in another order

Members = tuple[int, ...]  # positions, ascending


class Subset(NamedTuple):
    """Some members and their weights.

    Attributes:
        members: positions of those that have weight, ascending; where only the prior has, those
            that were tried.
        seconds: that they take together.
        solution: their weights.
    """

    members: Members
    seconds: float
    solution: Solution


def pareto_front(
    problem: Problem,
    columns: NDArray[np.bool_],
    seconds: NDArray[np.float64],
    *,
    bounds: Bounds,
    seed: int,
) -> tuple[Subset, ...]:
    """The subsets that are worth their seconds.

    Args:
        problem: rows, centring and norms.
        columns: (K,) which columns may have weight, at least one member's.
        seconds: (M,) of each member, positive.
        bounds: of the weights.
        seed: of the study and the solver.

    Returns:
        Ascending in seconds and in score, never empty.
    """
    covered = columns & problem.covered  # what no row has tested comes last
    known = covered if covered[1:].any() else columns
    ground = _Ground(problem, known, seconds, bounds, seed)
    sample = replace(ground, problem=_sampled(problem, seed))
    found = _undominated(_tried(sample))
    if sample.problem is problem:
        return found
    scale = problem.scale
    return _undominated(ground.subset(s.members, s.solution.weights * scale) for s in found)


@dataclass(frozen=True)
class _Ground:
    """What subsets are solved on."""

    problem: Problem
    columns: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    bounds: Bounds
    seed: int

    def subset(self, members: Members, scaled: NDArray[np.float64]) -> Subset:
        """Some members, solved from similar weights in units of the columns' scale."""
        solution = self.solve(self.columns & np.r_[True, self._are(members)], scaled)
        used = tuple(int(m) for m in np.flatnonzero(solution.weights[1:])) or members
        return Subset(used, float(self.seconds[list(used)].sum()), solution)

    def solve(
        self, columns: NDArray[np.bool_], scaled: NDArray[np.float64] | None = None
    ) -> Solution:
        return solve(self.problem, columns, bounds=self.bounds, seed=self.seed, warm=scaled)

    def _are(self, members: Members) -> NDArray[np.bool_]:
        return np.isin(np.arange(len(self.seconds)), members)


def _sampled(problem: Problem, seed: int) -> Problem:
    """The problem on a sample of its rows, where they are many and none counts for most."""
    selection = problem.selection
    if len(selection.rows) < 2 * SAMPLE:
        return problem
    drawn = np.random.default_rng(seed).choice(selection.rows, SAMPLE, replace=False)
    weight = selection.statistics.weight[drawn]
    if weight.sum() ** 2 < SAMPLE / 2 * (weight @ weight):  # Kish's effective sample size
        return problem
    part = replace(selection, rows=np.sort(drawn))
    return Problem(selection=part, alphas=problem.alphas) if part.covered.all() else problem


def _tried(ground: _Ground) -> Iterable[Subset]:
    """The subsets that the search comes upon, solved."""
    columns, seconds = ground.columns, ground.seconds
    allowed = [int(m) for m in np.flatnonzero(columns[1:])]
    whole = ground.solve(columns).scaled
    tried: dict[Members, Subset] = {}

    def subset(members: Members) -> Subset:
        if members not in tried:
            tried[members] = ground.subset(members, whole)
        return tried[members]

    if len(allowed) <= FEW:
        return [subset(members) for members in _all_of(allowed)]
    alone = scores(ground.problem, np.eye(len(columns)))[1:]
    ranked = [
        [int(m) for m in np.argsort(by, kind="stable") if m in allowed]
        for by in (-alone, seconds, -np.abs(whole[1:]))
    ]
    trials: Iterable[Members] = chain(((m,) for m in allowed), *map(_prefixes, ranked))
    with quiet_optuna():
        search = _Search(subset, allowed, ground.seed)
        while len(tried) < TRIED and (new := [m for m in dict.fromkeys(trials) if m not in tried]):
            search.enqueue(new[: TRIED - len(tried)])
            best = _undominated(tried.values())
            trials = chain.from_iterable(_neighbours(s.members, allowed) for s in best)
        search.sample()
    return tried.values()


def within(front: Sequence[Subset], seconds: float) -> Subset:
    """The best subset that takes no longer; the fastest where none is as fast.

    Args:
        front: from `pareto_front`.
        seconds: that there are for an image.
    """
    allowed = seconds * (1.0 + ROUNDING)
    return next((s for s in reversed(front) if s.seconds <= allowed), front[0])


class _Search:
    """The study."""

    def __init__(
        self, subset: Callable[[Members], Subset], allowed: Sequence[int], seed: int
    ) -> None:
        self._subset, self._allowed = subset, allowed
        self._study = optuna.create_study(
            directions=["maximize", "minimize"],
            sampler=optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed),
        )

    def enqueue(self, subsets: Sequence[Members]) -> None:
        """Try these."""
        for members in subsets:
            self._study.enqueue_trial({f"{m}": m in members for m in self._allowed})
        self._study.optimize(self._objective, n_trials=len(subsets))

    def sample(self) -> None:
        """Try what the sampler proposes."""
        self._study.optimize(self._objective, n_trials=SAMPLED)

    def _objective(self, trial: optuna.Trial) -> tuple[float, float]:
        flags = [trial.suggest_categorical(f"{m}", (False, True)) for m in self._allowed]
        proposed = tuple(m for m, flag in zip(self._allowed, flags, strict=True) if flag)
        found = self._subset(proposed or tuple(self._allowed))  # nothing is no blend: take all
        return found.solution.value, found.seconds


def _undominated(tried: Iterable[Subset]) -> tuple[Subset, ...]:
    """Ascending in seconds, each better than all that take no longer."""
    front: list[Subset] = []
    for subset in sorted(tried, key=lambda s: (s.seconds, -s.solution.value, s.members)):
        if not front or subset.solution.value > front[-1].solution.value + TIE:
            front.append(subset)
    return tuple(front)


def _all_of(members: Sequence[int]) -> Iterator[Members]:
    """Every subset but the empty one, the small ones first."""
    sizes = range(1, len(members) + 1)
    return chain.from_iterable(combinations(members, size) for size in sizes)


def _neighbours(members: Members, allowed: Sequence[int]) -> Iterator[Members]:
    """One member less, one more, one exchanged for another."""
    inside, outside = set(members), [m for m in allowed if m not in members]
    kept = [inside, *(inside - {m} for m in members)]
    for few in kept:
        if few and few != inside:
            yield tuple(sorted(few))
        for m in outside:
            yield tuple(sorted(few | {m}))


def _prefixes(order: Sequence[int]) -> Iterator[Members]:
    """The first one, the first two, and so on."""
    return (tuple(sorted(order[:size])) for size in range(1, len(order) + 1))
