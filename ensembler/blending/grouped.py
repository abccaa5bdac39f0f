"""A sum of sums: groups of members added up, brought to unit length row by row, and added up again.

With `s_g = Σ_m w_m x_m` over its members, group g enters the blend as `a_g s_g / ‖s_g‖`, where
`a_g = Σ_m w_m`: as in a flat blend there is one number for each member, which tells its share
within the group as well as the group's own weight. In a row the blend is the flat one of weights
`v_m = w_m a_g / ‖s_g‖`; with D the slopes of the row's cosine along v and `t_g = Σ_m D_m w_m`, its
gradient along w_m is

    D_m a_g / ‖s_g‖ + t_g / ‖s_g‖ - t_g a_g (G_g w)_m / ‖s_g‖³.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.objective import inverse_length
from ensembler.blending.problem import Block, Rows, packed_pairs

GAIN = 1e-10  # a step that raises the score by less is the last
MOST_STEPS = 200

Groups = Sequence[NDArray[np.intp]]  # columns of each group; no column twice, the prior in none


class Slope(NamedTuple):
    """The mean cosine at one point."""

    value: float
    gradient: NDArray[np.float64]  # (K,)


class Ascent(NamedTuple):
    """Where an ascent led.

    Attributes:
        weights: (K,) float64, nonnegative with sum 1, in units of the columns' scale.
        value: mean cosine there.
        status: "CONVERGED" or "MAX_ITERATIONS".
        evaluations: passes over the statistics.
    """

    weights: NDArray[np.float64]
    value: float
    status: str
    evaluations: int


def grouped_slope(problem: Rows, groups: Groups, weights: NDArray[np.float64]) -> Slope:
    """Value and gradient of the mean cosine of groups of unit length.

    A group that a row lacks or cancels is zero there; a row without any scores with its prior.

    Args:
        problem: rows, centring and norms.
        groups: of its columns; what is in none, besides the prior, has no part in the blend.
        weights: (K,) float64, nonnegative, in units of the columns' scale.
    """
    value, gradient = 0.0, np.zeros(problem.columns)
    for block in problem.blocks():
        part = _block_slope(block, groups, weights)
        value += part.value
        gradient += part.gradient
    return Slope(value, gradient)


def ascend_grouped(
    problem: Rows, groups: Groups, start: NDArray[np.float64], columns: NDArray[np.bool_]
) -> Ascent:
    """Raise the mean cosine of groups of unit length from a start.

    Args:
        problem: rows, centring and norms.
        groups: as in `grouped_slope`.
        start: (K,) weights, as there.
        columns: (K,) which columns may have weight.

    Returns:
        Where no step leads higher, never below the start.
    """
    from scipy.optimize import minimize

    def downwards(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        at = grouped_slope(problem, groups, weights)
        return -at.value, -at.gradient

    first = np.where(columns, start, 0.0)
    found = minimize(
        downwards, first / first.sum(), jac=True, method="L-BFGS-B",
        bounds=[(0.0, None if allowed else 0.0) for allowed in columns],
        options={"maxiter": MOST_STEPS, "ftol": GAIN, "gtol": 0.0},
    )  # fmt: skip
    status = "CONVERGED" if found.success else "MAX_ITERATIONS"
    return Ascent(found.x / found.x.sum(), -float(found.fun), status, int(found.nfev))


def _block_slope(block: Block, groups: Groups, weights: NDArray[np.float64]) -> Slope:
    """One block's part of value and gradient."""
    columns, rows = block.cross.shape
    first, second = packed_pairs(columns)
    pair = np.empty((columns, columns), dtype=np.intp)
    pair[first, second] = pair[second, first] = np.arange(len(first))
    unit = np.where(
        block.lengths[0] > 0.0, block.lengths[0], 1.0
    )  # a length of 1 in the row's scale
    flat = np.zeros((columns, rows))
    flat[0] = weights[0]
    inner, inverses = [], []
    alive = np.zeros(rows, dtype=bool)
    for group in groups:
        own = weights[group]
        blended = np.stack([own @ block.gram[pair[m, group]] for m in group])  # G_g w
        inverse = inverse_length(own @ blended, own @ block.lengths[group])
        flat[group] = own[:, None] * (own.sum() * unit * inverse)
        alive |= inverse > 0.0
        inner.append(blended)
        inverses.append(inverse)
    products = np.stack([np.einsum("kn,kn->n", block.gram[pair[k]], flat) for k in range(columns)])
    square = np.einsum("kn,kn->n", flat, products)
    inverse = inverse_length(square, np.einsum("kn,kn->n", np.abs(flat), block.lengths)) * alive
    along = np.einsum("kn,kn->n", flat, block.cross)
    share = block.share * inverse
    slopes = block.cross * share - products * (share * along * inverse**2)
    gradient = np.zeros(columns)
    gradient[0] = slopes[0].sum()
    for group, blended, of_group in zip(groups, inner, inverses, strict=True):
        own, scaled = weights[group], unit * of_group
        turned = (own @ slopes[group]) * scaled
        gradient[group] = slopes[group] @ scaled * own.sum() + turned.sum()
        gradient[group] -= blended @ (turned * own.sum() * of_group**2)
    scored = np.where(alive, along * inverse, block.fallback)
    return Slope(float(block.share @ scored), gradient)
