"""Groups of members whose inner and outer weights are found together.

A tree that is solved from below gives each group the weights that serve it best by itself. Others
serve better together where groups err alike, and a group's length may tell more than nothing: so
all weights rise together, and groups at unit length compete with the same members without groups.

Held out, on ten real members in two ways to group them, that is .018 and .010 above trees solved
from below: it is the blend without groups. On generated stores whose groups share a length that
tells nothing it was .0010 to .0092 above them, the more alike the best members of the groups
erred, and .010 above the blend without groups (all beyond noise).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Aside, Data
from ensembler.blenders.refitting.memory import fit_once
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.fitted import FittedWeights, spelt_out, training_problem
from ensembler.blending.apply import WeightedSum
from ensembler.blending.grouped import Ascent, ascend_grouped
from ensembler.blending.problem import Problem
from ensembler.blending.solver import TIE, solve
from ensembler.blending.weighting import Weighting
from ensembler.blends.tree import Tree
from ensembler.blends.weighted import Weighted as WeightedBlend
from ensembler.search.space import ALPHA


class Structure(NamedTuple):
    """What stands before the weights.

    Attributes:
        groups: the columns of each group, by name.
        centred: whether members stand less their means.
        alphas: M exponents of their norms.
    """

    groups: Mapping[str, NDArray[np.intp]]
    centred: bool
    alphas: tuple[float, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedGroups:
    """Weights of members in groups of unit length.

    Attributes:
        structure: groups, centring and norms.
        weights: (K,) float64, in the members' own units; a group's are scaled as its weight.
        blend: the tree of the groups that have weight.
        status: how the ascent ended, by name.
        objective: mean cosine on the training rows, priors out of fold.
        evaluations: passes over the statistics.
    """

    structure: Structure
    weights: NDArray[np.float64]
    blend: Tree = field(repr=False)
    status: str
    objective: float
    evaluations: int

    def cosines(self, data: Data, rows: NDArray[np.int64], aside: Aside) -> NDArray[np.float64]:
        """As `FittedBlend.cosines` says."""
        return data.cosines(self.blend, rows, aside)

    def refitted(self, data: Data, aside: Aside) -> FittedGroups:
        """As `FittedBlend.refitted` says: the weights again, from these."""
        problem = _problem(data, aside, self.structure)
        start = self.weights * problem.scale
        return _fitted(data, self.structure, problem, _ascent(data, problem, self.structure, start))


def fit_groups(data: Data, aside: Aside, seed: int) -> FittedWeights | FittedGroups:
    """The best weights of the study's groups at unit length, or of its members without groups.

    Centring is the study's; norms are alike for all members, each that it allows, or what serves it
    best without groups. With groups as many numbers are fitted as without, so that the training
    rows may tell which is better. A study of fixed weights keeps them.

    Args:
        data: what to fit on.
        aside: folds whose targets nothing may know.
        seed: of the study.

    Raises:
        StoreError: no training row has weight.
    """
    flat = cast("FittedWeights", fit_once(data, Weighted(), aside, seed))
    if data.space.definition.weights == "fixed":
        return flat
    found, count = flat.weighting, len(data.names)
    scale = training_problem(data, aside, centred=found.centred, alphas=found.alphas).scale
    plain = [(ALPHA[norm],) * count for norm in data.space.definition.norms]
    tried: list[FittedGroups] = []
    for centred, alphas in product(data.space.centrings, dict.fromkeys([*plain, found.alphas])):
        structure = Structure(_columns(data), centred, alphas)
        problem = _problem(data, aside, structure)
        together = np.maximum(found.weights * scale, 0.0)
        for start in (together, _each_by_itself(problem, structure, together[0])):
            ascent = _ascent(data, problem, structure, start)
            tried.append(_fitted(data, structure, problem, ascent))
    best = max(tried, key=lambda fitted: fitted.objective)
    if best.objective <= flat.objective + TIE:
        return flat
    passes = flat.evaluations + sum(fitted.evaluations for fitted in tried)
    return replace(best, evaluations=passes)


def _columns(data: Data) -> dict[str, NDArray[np.intp]]:
    """The columns of each of the study's groups."""
    groups = data.space.groups.items()
    return {
        name: np.flatnonzero([False, *(member in of for member in data.names)])
        for name, of in groups
    }


def _problem(data: Data, aside: Aside, structure: Structure) -> Problem:
    return training_problem(data, aside, centred=structure.centred, alphas=structure.alphas)


def _each_by_itself(problem: Problem, structure: Structure, prior: float) -> NDArray[np.float64]:
    """(K,) the weights that serve each group best alone; the groups count alike."""
    start = np.zeros(problem.columns)
    for group in structure.groups.values():
        columns = np.isin(np.arange(problem.columns), group) & problem.covered
        if columns.any():
            start += solve(problem, columns).scaled
    start[0] = prior * start.sum() / max(1.0 - prior, 0.1)
    return start


def _ascent(
    data: Data, problem: Problem, structure: Structure, start: NDArray[np.float64]
) -> Ascent:
    columns = data.space.columns & problem.covered
    if not start[columns].any():
        start = columns.astype(np.float64)
    return ascend_grouped(problem, tuple(structure.groups.values()), start, columns)


def _fitted(data: Data, structure: Structure, problem: Problem, ascent: Ascent) -> FittedGroups:
    sums = {name: float(ascent.weights[group].sum()) for name, group in structure.groups.items()}
    used = [name for name, weight in sums.items() if weight > 0.0]
    weights = ascent.weights / problem.scale
    tree = Tree(
        children=tuple((name, _of_group(data, structure, name, weights)) for name in used),
        numbers=WeightedSum(
            prior_weight=float(weights[0]),
            weights=np.array([sums[name] for name in used]),
            alphas=np.ones(len(used)),
            means=None,
        ),
    )
    return FittedGroups(
        structure=structure,
        weights=weights,
        blend=tree,
        status=ascent.status,
        objective=ascent.value,
        evaluations=ascent.evaluations,
    )


def _of_group(
    data: Data, structure: Structure, name: str, weights: NDArray[np.float64]
) -> WeightedBlend:
    """One group's blend of vectors, without the prior."""
    own = np.zeros_like(weights)
    own[structure.groups[name]] = weights[structure.groups[name]]
    weighting = Weighting(
        centred=structure.centred, alphas=structure.alphas, weights=tuple(own.tolist())
    )
    return spelt_out(data.statistics, weighting)
