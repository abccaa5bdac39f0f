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
from ensembler.blenders.corrections.correction import training_score
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.gated import Gated
from ensembler.blenders.kernel import Kernel
from ensembler.blenders.nested_groups import fit_groups
from ensembler.blenders.refitting.memory import fit_once, refit_once
from ensembler.blenders.refitting.stacking import stacked_folds, stacked_statistics
from ensembler.blenders.ridge import Ridge
from ensembler.blenders.spelling import TEXT
from ensembler.blending.apply import WeightedSum
from ensembler.blending.solver import TIE, UNREMARKABLE, solve
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting, weighting_problem
from ensembler.blends.tree import TreeBlend
from ensembler.errors import InputError, first_few

CHILDREN: tuple[Blender, ...] = (Gated(), Ridge(base=Gated()), Kernel(base=Gated()))


class Status(Enum):
    """How a fit ended where no weights could be solved; the value is its sentence."""

    TOO_FEW_FOLDS = "fewer than two folds to stack on: the children weigh the same"


class StackStructure(NamedTuple):
    """How children enter the sum.

    Attributes:
        centred: less their means.
        alpha: 1 at unit length, 0 as long as centring leaves them.
    """

    centred: bool
    alpha: float


STRUCTURES = (StackStructure(False, 1.0), StackStructure(True, 1.0), StackStructure(True, 0.0))


class Stacked(NamedTuple):
    """Weights over children.

    Attributes:
        structure: how the children enter the sum.
        numbers: all that is frozen of it.
        value: mean cosine on the rows stacked, each blended out of fold; NaN where none was.
        status: of the solver, by name.
        evaluations: passes over the children's statistics.
    """

    structure: StackStructure
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
            raise InputError("nested: there are no children; give at least one blender")
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
        if self.groups:
            return "nested:groups=True"
        if self.children == CHILDREN:
            return "nested"
        return f"nested({', '.join(child.name for child in self.children)})"

    @property
    def fallback(self) -> str:
        """The first child."""
        return "weighted" if self.groups else self.children[0].name

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedBlend:
        if self.groups:
            return fit_groups(data, held_out, seed)
        return self._stacked(data, held_out, seed)

    def _stacked(self, data: Data, held_out: HeldFolds, seed: int) -> FittedNested:
        children = {child.name: fit_once(data, child, held_out, seed) for child in self.children}
        statistics = stacked_statistics(data, list(children.values()), held_out)
        if statistics is None:
            return _fitted(data, held_out, children, _even(children), seed)
        tried = [_solved(data, statistics, held_out, structure, seed) for structure in STRUCTURES]
        best = max(stacked.value for stacked in tried)
        chosen = next(stacked for stacked in tried if stacked.value >= best - TIE)
        return _fitted(data, held_out, children, chosen, seed)


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedNested:
    """Weights over fitted children.

    Attributes:
        data: that they were fitted on.
        held_out: the folds that they were not fitted on.
        children: by name.
        stacked: the weights.
        blend: the tree of those that have weight.
        seed: of the solver.
    """

    data: Data = field(repr=False)
    held_out: HeldFolds
    children: dict[str, FittedBlend]
    stacked: Stacked
    blend: TreeBlend = field(repr=False)
    seed: int

    @property
    def status(self) -> str:
        """The first child's that calls for a remark, else the solver's."""
        statuses = (child.status for child in self.children.values())
        return next((s for s in statuses if s not in UNREMARKABLE), self.stacked.status)

    @cached_property
    def objective(self) -> float:
        """The training score, worked out when it is asked for."""
        return training_score(self.data, self.blend, self.held_out)

    @property
    def evaluations(self) -> int:
        children = sum(child.evaluations for child in self.children.values())
        return children + self.stacked.evaluations

    def cosines(
        self, data: Data, rows: NDArray[np.int64], held_out: HeldFolds
    ) -> NDArray[np.float64]:
        return data.cosines(self.blend, rows, held_out)

    def refitted(self, data: Data, held_out: HeldFolds) -> FittedNested:
        """The same structure, weights solved again; with too few folds these weights."""
        children = {
            name: refit_once(data, child, held_out) for name, child in self.children.items()
        }
        statistics = stacked_statistics(data, list(children.values()), held_out)
        stacked = self.stacked
        if statistics is not None:
            stacked = _solved(data, statistics, held_out, stacked.structure, self.seed)
        return _fitted(data, held_out, children, stacked, self.seed)


def _solved(
    data: Data, statistics: Statistics, held_out: HeldFolds, structure: StackStructure, seed: int
) -> Stacked:
    """The best weights of children under one structure."""
    alphas = (structure.alpha,) * len(statistics.names)
    shape = Weighting(centred=structure.centred, alphas=alphas, weights=())
    asked = np.isin(statistics.fold, stacked_folds(data, held_out))
    problem = weighting_problem(statistics, shape, np.flatnonzero(asked), held_out)
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
    data: Data, held_out: HeldFolds, children: dict[str, FittedBlend], stacked: Stacked, seed: int
) -> FittedNested:
    numbers = stacked.numbers
    used = np.flatnonzero(numbers.weights)
    parts = list(children.items())
    tree = TreeBlend(
        children=tuple((parts[c][0], parts[c][1].blend) for c in used),
        numbers=WeightedSum(
            prior_weight=numbers.prior_weight,
            weights=numbers.weights[used],
            alphas=numbers.alphas[used],
            means=None if numbers.means is None else numbers.means[used],
        ),
    )
    return FittedNested(
        data=data, held_out=held_out, children=children, stacked=stacked, blend=tree, seed=seed
    )
