"""Members for their time: the subsets that no other beats in score and seconds alike.

A multi-objective study over which members are in; the weights of each subset are solved. It starts
from each member alone and from the first few of three orders: by their own scores, by their
seconds, by their weights among all. Then come the neighbours of the best so far, one member more,
less or exchanged, and last what NSGA-II proposes (Deb, Pratap, Agarwal & Meyarivan, A Fast and
Elitist Multiobjective Genetic Algorithm, 2002). Where subsets are few, all are tried instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray

from ensembler.blending.objective import scores
from ensembler.blending.problem import Problem
from ensembler.blending.solver import Bounds, Solution, solve
from ensembler.search.record import quiet_optuna

FEW = 7  # members up to which all subsets are tried
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
    allowed = [int(m) for m in np.flatnonzero(columns[1:])]
    tried: dict[Members, Subset] = {}
    whole = solve(problem, columns, bounds=bounds, seed=seed)

    def subset(members: Members) -> Subset:
        if members not in tried:
            within = columns.copy()
            within[1:] &= np.isin(np.arange(len(seconds)), members)
            warm = np.where(within, whole.scaled, 0.0)
            solution = solve(problem, within, bounds=bounds, seed=seed, warm=warm)
            used = tuple(int(m) for m in np.flatnonzero(solution.weights[1:])) or members
            tried[members] = Subset(used, float(seconds[list(used)].sum()), solution)
        return tried[members]

    if len(allowed) <= FEW:
        for members in _all_of(allowed):
            subset(members)
        return _undominated(tried.values())
    alone = scores(problem, np.eye(problem.columns))[1:]
    orders = (-alone, seconds, -np.abs(whole.scaled[1:]))
    ranked = [[int(m) for m in np.argsort(by, kind="stable") if m in allowed] for by in orders]
    trials: Iterable[Members] = chain(((m,) for m in allowed), *map(_prefixes, ranked))
    with quiet_optuna():
        search = _Search(subset, allowed, seed)
        while len(tried) < TRIED and (new := [m for m in dict.fromkeys(trials) if m not in tried]):
            search.enqueue(new[: TRIED - len(tried)])
            best = _undominated(tried.values())
            trials = chain.from_iterable(_neighbours(s.members, allowed) for s in best)
        search.sample()
    return _undominated(tried.values())


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
