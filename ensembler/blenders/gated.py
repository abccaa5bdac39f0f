"""Weights that each row adjusts for itself, by how far its members agree and how long they are.

Centring and norms are those of plain weights. There are two gates, both log-linear: one in a
member's mean cosine with the others (`ensembler.blending.gating`), and one in the length of its
row, which is only another exponent of its norm. Weights are solved again under the gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender, Property
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.refitting.memory import fit_once
from ensembler.blenders.refitting.strength import choose_strength
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.gates import Gates, GateStructure, find_structure
from ensembler.blending.apply import WeightedSum
from ensembler.blending.objective import row_cosines, scores
from ensembler.blends.gated import GatedBlend
from ensembler.blends.weighted import WeightedBlend
from ensembler.errors import InputError

# Tried one after the other; no gate stands first, and is what remains where folds are too few.
AGREEMENTS = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0)
LENGTHS = (0.0, 0.5, 1.0, -0.5)


@dataclass(frozen=True, kw_only=True)
class FittedGates:
    """Gates and the weights under them.

    Attributes:
        structure: what the base decided.
        gates: as chosen.
        weights: (K,) float64, of the prior and the statistics' members, in their own units.
        blend: the same for vectors, with the voters.
        status: how the solver ended, by name.
        objective: mean cosine on the training rows, priors out of fold.
        evaluations: passes over the statistics.
    """

    structure: GateStructure
    gates: Gates
    weights: NDArray[np.float64]
    blend: GatedBlend
    status: str
    objective: float
    evaluations: int

    def cosines(
        self, data: Data, rows: NDArray[np.int64], held_out: HeldFolds
    ) -> NDArray[np.float64]:
        """From the statistics, without a look at the vectors."""
        selection = self.structure.selection(data, rows, held_out)
        problem = self.structure.problem(selection, self.gates)
        return row_cosines(problem, self.weights * problem.scale)

    def refitted(self, data: Data, held_out: HeldFolds) -> FittedGates:
        """The same gates, weights solved again."""
        return _fitted(data, held_out, self.structure, self.gates)


@dataclass(frozen=True, kw_only=True)
class Gated:
    """Gates over plain weights, their strengths chosen by inner folds.

    Attributes:
        base: a blender of plain weights, whose centring, norms and members are kept.
    """

    base: Blender = field(default_factory=Weighted)

    @property
    def name(self) -> str:
        return f"{self.base.name}+gated"

    @property
    def properties(self) -> frozenset[Property]:
        """Scale invariance if the base has it; agreement counts a duplicate as one more vote."""
        return self.base.properties & {Property.SCALE_INVARIANT}

    @property
    def fallback(self) -> str:
        """The base: without gates nothing else is left."""
        return self.base.name

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedGates:
        """Fit the base, choose the gates, and solve for the weights under them.

        Raises:
            InputError: the base does not give plain weights.
        """
        blend = fit_once(data, self.base, held_out, seed).blend
        if not isinstance(blend, WeightedBlend):
            raise InputError(
                f"gated stands on plain weights, and {self.base.name!r} makes something else of its"
                " members; put gated before it, as in gated+gains"
            )
        structure = find_structure(data, held_out, blend, seed)
        agreements = [Gates(agreement, 0.0) for agreement in AGREEMENTS]
        agreement = _best(data, held_out, structure, agreements).agreement
        lengths = [Gates(agreement, length) for length in LENGTHS]
        return _fitted(data, held_out, structure, _best(data, held_out, structure, lengths))


def _best(
    data: Data, held_out: HeldFolds, structure: GateStructure, candidates: Sequence[Gates]
) -> Gates:
    """The gates that score best on inner folds, weights solved without them."""

    def score(inner: HeldFolds, fold: int) -> NDArray[np.float64]:
        train = structure.selection(data, data.training_rows(inner), inner)
        unseen = structure.selection(data, data.fold_rows(fold), inner)
        found = []
        for gates in candidates:
            weights = structure.solve(data, structure.problem(train, gates)).weights
            problem = structure.problem(unseen, gates)
            found.append(scores(problem, (weights * problem.scale)[None, :])[0])
        return np.array(found) * float(data.statistics.weight[unseen.rows].sum())

    return candidates[choose_strength(data, held_out, score, default=0).index]


def _fitted(data: Data, held_out: HeldFolds, structure: GateStructure, gates: Gates) -> FittedGates:
    """The weights under some gates, solved on the training rows."""
    statistics, voters = data.statistics, structure.voters
    selection = structure.selection(data, data.training_rows(held_out), held_out)
    problem = structure.problem(selection, gates)
    solved = structure.solve(data, problem)
    numbers = WeightedSum(
        prior_weight=float(solved.weights[0]),
        weights=solved.weights[1:][voters],
        alphas=problem.problem.alphas[voters],
        means=statistics.means[voters] if structure.centred else None,
    )
    names = tuple(name for name, votes in zip(data.names, voters, strict=True) if votes)
    return FittedGates(
        structure=structure,
        gates=gates,
        weights=solved.weights,
        blend=GatedBlend(members=names, numbers=numbers, agreement=gates.agreement),
        status=solved.status,
        objective=float(scores(problem, (solved.weights * problem.scale)[None, :])[0]),
        evaluations=solved.evaluations,
    )
