"""Plain weights under gates: the choices of the base that stay, and problems built on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.weights.fitted import Solved
from ensembler.blending.gating import GatedProblem
from ensembler.blending.problem import Problem, Selection
from ensembler.blending.solver import solve
from ensembler.blends.weighted import WeightedBlend


class Gates(NamedTuple):
    """How strongly rows adjust their weights.

    Attributes:
        agreement: of the gate by agreement.
        length: of the gate by length, weights times `‖x‖^length`.
    """

    agreement: float
    length: float


@dataclass(frozen=True, kw_only=True)
class GateStructure:
    """The choices of the base that stay; M members and K columns of the statistics.

    Attributes:
        centred: whether members stand less their means.
        alphas: (M,) exponents of the norms, before the gate by length.
        voters: (M,) the members that the base gives weight.
        start: (K,) the base's weights in units of the columns' scale: near the optimum.
        seed: of the solver.
    """

    centred: bool
    alphas: NDArray[np.float64]
    voters: NDArray[np.bool_]
    start: NDArray[np.float64]
    seed: int

    def selection(self, data: Data, rows: NDArray[np.int64], held_out: HeldFolds) -> Selection:
        """Some rows, with the priors that may know all folds but the held-out ones."""
        return Selection(
            statistics=data.statistics, rows=rows, held_out=held_out, centred=self.centred
        )

    def problem(self, selection: Selection, gates: Gates) -> GatedProblem:
        """Some rows under gates."""
        problem = Problem(selection=selection, alphas=self.alphas - gates.length)
        return GatedProblem(problem=problem, voters=self.voters, agreement=gates.agreement)

    def solve(self, data: Data, problem: GatedProblem) -> Solved:
        """The weights of the voters and, if the study has one, the prior."""
        columns = problem.problem.covered & np.r_[data.space.columns[0], self.voters]
        if not columns.any():
            return Solved(self.start / problem.scale)
        bounds = data.space.definition.bounds
        found = solve(problem, columns, bounds=bounds, seed=self.seed, warm=self.start)
        return Solved(found.weights, found.status.name, found.evaluations)


def find_structure(
    data: Data, held_out: HeldFolds, blend: WeightedBlend, seed: int
) -> GateStructure:
    """Take its choices from a blend of plain weights.

    Args:
        data: whose members.
        held_out: the folds that it was fitted without.
        blend: of some of the members.
        seed: of the solver.
    """
    numbers, members = blend.numbers, len(data.names)
    places = [data.names.index(name) for name in blend.members]
    alphas, weights, voters = np.ones(members), np.zeros(1 + members), np.zeros(members, dtype=bool)
    alphas[places], voters[places] = numbers.alphas, True
    weights[0], weights[1:][places] = numbers.prior_weight, numbers.weights
    bare = GateStructure(
        centred=numbers.means is not None, alphas=alphas, voters=voters, start=weights, seed=seed
    )
    selection = bare.selection(data, data.training_rows(held_out), held_out)
    return replace(bare, start=weights * bare.problem(selection, Gates(0.0, 0.0)).scale)
