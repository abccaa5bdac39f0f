"""Blends of blends: weights over other blenders' out-of-fold rows, or a tree of groups of members.

Stacking as Breiman regularises it (Stacked Regressions, Machine Learning 24, 1996): no child's row
that weighs in was seen by the child's fit, and no weight is negative. The children are then
fitted on all training rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender, FittedBlend, Property
from ensembler.blenders.corrections.correction import SILENT, training_score
from ensembler.blenders.data import Aside, Data
from ensembler.blenders.gated import Gated
from ensembler.blenders.kernel import Kernel
from ensembler.blenders.nested_groups import fit_groups
from ensembler.blenders.refitting.memory import fit_once, refit_once
from ensembler.blenders.refitting.stacking import stacked_folds, stacked_statistics
from ensembler.blenders.ridge import Ridge
from ensembler.blenders.spelling import TEXT
from ensembler.blending.apply import WeightedSum
from ensembler.blending.solver import TIE, solve
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting, weighting_problem
from ensembler.blends.tree import Tree
from ensembler.errors import InputError, first_few

CHILDREN: tuple[Blender, ...] = (Gated(), Ridge(base=Gated()), Kernel(base=Gated()))


class Status(Enum):
    """How a fit ended where no weights could be solved; the value is its sentence."""

    TOO_FEW_FOLDS = "fewer than two folds to stack on: the children weigh the same"


class Structure(NamedTuple):
    """How children enter the sum.

    Attributes:
        centred: less their means.
        alpha: 1 at unit length, 0 as long as centring leaves them.
    """

    centred: bool
    alpha: float


STRUCTURES = (Structure(False, 1.0), Structure(True, 1.0), Structure(True, 0.0))


class Stacked(NamedTuple):
    """Weights over children.

    Attributes:
        structure: how the children enter.
        numbers: all that is frozen of it.
        value: mean cosine on the rows stacked, each blended out of fold; NaN where none was.
        status: of the solver, by name.
        evaluations: passes over the children's statistics.
    """

    structure: Structure
    numbers: WeightedSum
    value: float
    status: str
    evaluations: int


@dataclass(frozen=True, kw_only=True)
class Nested:
    """Nonnegative weights over other blends and the prior, as they are or less their means.

    Attributes:
        children: the blenders.
        groups: take the study's groups of members instead, each blended by plain weights, which
            are found together with those over the groups.
    """

    children: tuple[Blender, ...] = field(default=CHILDREN, metadata={TEXT: False})
    groups: bool = False

    properties: ClassVar[frozenset[Property]] = frozenset()

    def __post_init__(self) -> None:
        if not self.children:
            raise InputError("nested: there are no children; give one blender at least")
        names = [child.name for child in self.children]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise InputError(f"nested: child {first_few(twice)} is given twice; give each once")
        if self.groups and self.children != CHILDREN:
            raise InputError(
                "nested: with groups=True the study's groups are the children; leave out the others"
            )

    @property
    def name(self) -> str:
        """As `parse_blender` reads it."""
        if self.groups:
            return "nested:groups=True"
        if self.children == CHILDREN:
            return "nested"
        return f"nested({', '.join(child.name for child in self.children)})"

    @property
    def fallback(self) -> str:
        """The first child."""
        return "weighted" if self.groups else self.children[0].name

    def fit(self, data: Data, aside: Aside, seed: int) -> FittedBlend:
        """As `Blender.fit` says."""
        return fit_groups(data, aside, seed) if self.groups else self._stacked(data, aside, seed)

    def _stacked(self, data: Data, aside: Aside, seed: int) -> FittedNested:
        children = {child.name: fit_once(data, child, aside, seed) for child in self.children}
        statistics = stacked_statistics(data, list(children.values()), aside)
        if statistics is None:
            return _fitted(data, aside, children, _even(children), seed)
        tried = [_solved(data, statistics, aside, structure, seed) for structure in STRUCTURES]
        best = max(stacked.value for stacked in tried)
        chosen = next(stacked for stacked in tried if stacked.value >= best - TIE)
        return _fitted(data, aside, children, chosen, seed)


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedNested:
    """Weights over fitted children.

    Attributes:
        data: what they were fitted on.
        aside: the folds that they were not fitted on.
        children: by name.
        stacked: the weights.
        blend: the tree of those that have weight.
        seed: of the solver.
    """

    data: Data = field(repr=False)
    aside: Aside
    children: dict[str, FittedBlend]
    stacked: Stacked
    blend: Tree = field(repr=False)
    seed: int

    @property
    def status(self) -> str:
        """As `FittedBlend.status` says: a child's where that calls for a remark."""
        told = (child.status for child in self.children.values() if child.status not in SILENT)
        return next(told, self.stacked.status)

    @cached_property
    def objective(self) -> float:
        """As `FittedBlend.objective` says; worked out when it is asked for."""
        return training_score(self.data, self.blend, self.aside)

    @property
    def evaluations(self) -> int:
        """As `FittedBlend.evaluations` says."""
        children = sum(child.evaluations for child in self.children.values())
        return children + self.stacked.evaluations

    def cosines(self, data: Data, rows: NDArray[np.int64], aside: Aside) -> NDArray[np.float64]:
        """As `FittedBlend.cosines` says."""
        return data.cosines(self.blend, rows, aside)

    def refitted(self, data: Data, aside: Aside) -> FittedNested:
        """As `FittedBlend.refitted` says: the same structure; with too few folds, the weights."""
        children = {name: refit_once(data, child, aside) for name, child in self.children.items()}
        statistics = stacked_statistics(data, list(children.values()), aside)
        stacked = self.stacked
        if statistics is not None:
            stacked = _solved(data, statistics, aside, stacked.structure, self.seed)
        return _fitted(data, aside, children, stacked, self.seed)


def _solved(
    data: Data, statistics: Statistics, aside: Aside, structure: Structure, seed: int
) -> Stacked:
    """The best weights of children that enter in one way."""
    alphas = (structure.alpha,) * len(statistics.names)
    shape = Weighting(centred=structure.centred, alphas=alphas, weights=())
    asked = np.isin(statistics.fold, stacked_folds(data, aside))
    problem = weighting_problem(statistics, shape, np.flatnonzero(asked), aside)
    columns = problem.covered.copy()
    columns[0] = data.space.definition.prior or not columns[1:].any()
    solution = solve(problem, columns, seed=seed)
    numbers = WeightedSum(
        prior_weight=float(solution.weights[0]),
        weights=solution.weights[1:],
        alphas=np.array(alphas),
        means=statistics.means if structure.centred else None,
    )
    return Stacked(structure, numbers, solution.value, solution.status.name, solution.evaluations)


def _even(children: dict[str, FittedBlend]) -> Stacked:
    count = len(children)
    numbers = WeightedSum(
        prior_weight=0.0,
        weights=np.full(count, 1.0 / count),
        alphas=np.ones(count),
        means=None,
    )
    return Stacked(STRUCTURES[0], numbers, math.nan, Status.TOO_FEW_FOLDS.name, 0)


def _fitted(
    data: Data, aside: Aside, children: dict[str, FittedBlend], stacked: Stacked, seed: int
) -> FittedNested:
    numbers = stacked.numbers
    used = np.flatnonzero(numbers.weights)
    parts = list(children.items())
    tree = Tree(
        children=tuple((parts[c][0], parts[c][1].blend) for c in used),
        numbers=WeightedSum(
            prior_weight=numbers.prior_weight,
            weights=numbers.weights[used],
            alphas=numbers.alphas[used],
            means=None if numbers.means is None else numbers.means[used],
        ),
    )
    return FittedNested(
        data=data, aside=aside, children=children, stacked=stacked, blend=tree, seed=seed
    )
