"""The rows a study is solved on: problems and solutions, each made once."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.objective import row_cosines
from ensembler.blending.part import Part, PartialProblem
from ensembler.blending.problem import Problem, Rows, Selection
from ensembler.blending.solver import Bounds, Solution, solve
from ensembler.blending.statistics import HeldOut, Statistics
from ensembler.search.candidate import Scaling

KEPT = 2  # problems: both centrings of unit-length members, which most candidates share
KEPT_TO_CUT = 64  # problems that parts are cut from: about all that a study meets
SMALL_TO_CUT = 1 << 28  # bytes that their Gram matrices may take; beyond it nothing is cut


class Ground:
    """Some rows of the statistics, to solve candidates on.

    Args:
        statistics: of all rows.
        rows: (n,) int64, ascending.
        held_out: the folds whose targets no prior may know; None for none.
        columns: (K,) which columns may have weight.
        bounds: of the weights.
        seed: of the solver's random starts.
        trust: of the solver.
        to_cut: whether to keep problems, where they are small, for the grounds of parts.
        whole: such a ground with all of the rows and more, or None.
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
        trust: float = 0.0,
        to_cut: bool = False,
        whole: Ground | None = None,
    ) -> None:
        self.rows = rows
        self._columns, self._bounds, self._seed, self._trust = columns, bounds, seed, trust
        weight = statistics.weight[rows]
        self.share: NDArray[np.float64] = weight / (weight.sum() or 1.0)

        @cache
        def selection(centred: bool) -> Selection:
            return Selection(statistics=statistics, rows=rows, held_out=held_out, centred=centred)

        small = selection(False).gram_bytes * KEPT_TO_CUT <= SMALL_TO_CUT
        self.is_kept = to_cut and small
        uncut = whole if whole is not None and whole.is_kept else None

        @cache
        def part(centred: bool, of: Ground) -> Part:
            return Part(selection=selection(centred), whole=of.selection(centred))

        @lru_cache(maxsize=KEPT_TO_CUT if self.is_kept else KEPT)
        def problem(scaling: Scaling) -> Rows:
            centred, alphas = scaling
            if uncut is not None:
                return PartialProblem(part=part(centred, uncut), whole=uncut.problem(scaling))
            return Problem(selection=selection(centred), alphas=np.array(alphas))

        self.selection, self.problem = selection, problem
        self.solution = cache(self._solution)
        self.cosines = cache(self._cosines)

    def columns(self, scaling: Scaling) -> NDArray[np.bool_]:
        """(K,) the columns that may have weight and have any of the rows."""
        return self._columns & self.selection(scaling[0]).covered

    def solve(self, scaling: Scaling, weights: NDArray[np.float64] | None = None) -> Solution:
        """Solve from some weights, or from several starts without any.

        Args:
            scaling: the centring and norms.
            weights: (K,) of a similar problem, in its members' own units; or None.
        """
        problem = self.problem(scaling)
        warm = None if weights is None else weights * problem.scale
        columns = self.columns(scaling)
        return solve(
            problem, columns, bounds=self._bounds, seed=self._seed, warm=warm, trust=self._trust
        )

    def _solution(self, scaling: Scaling) -> Solution:
        """From several starts when all norms are alike, from that solution when they are mixed.

        Norms move the optimum little: the solution of the plain candidate with the same centring
        and the first member's norm is a start that saves two ascents in three. It depends on the
        candidate alone, not on what was scored before.
        """
        centred, alphas = scaling
        plain = (centred, (alphas[0],) * len(alphas))
        if scaling == plain:
            return self.solve(scaling)
        problem = self.problem(scaling)
        # In units of the columns' scale: there the two problems are alike.
        return self.solve(scaling, self.solution(plain).scaled / problem.scale)

    def _cosines(self, scaling: Scaling) -> NDArray[np.float64]:
        """(n,) the rows' cosines under the solution."""
        return row_cosines(self.problem(scaling), self.solution(scaling).scaled)

    def mean_cosine(self, scaling: Scaling) -> float:
        """The mean of the rows' cosines under the solution."""
        return float(self.share @ self.cosines(scaling))
