"""The objective: mean cosine of a blend with its targets, with exact derivatives.

With `s = sqrt(u·G u)` and `a = c·u` a row scores `a/s`; by the quotient rule its gradient is
`c/s - a g/s³` with `g = G u`, its Hessian `-(c gᵀ + g cᵀ)/s³ - a G/s³ + 3 a g gᵀ/s⁵`.

A row whose blend is no longer than CANCELLED times the sum of its parts' lengths scores 0 with
gradient 0; a row that no column of nonzero weight covers scores with the prior.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.problem import Block, Rows, packed_pairs
from ensembler.blending.rules import CANCELLED


class Expansion(NamedTuple):
    """The objective's second-order expansion at one point."""

    value: float
    gradient: NDArray[np.float64]  # (K,)
    hessian: NDArray[np.float64]  # (K, K)


def scores(problem: Rows, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean cosine of several blends at once: one matrix product per block.

    Args:
        problem: rows, centring and norms.
        candidates: (S, K) float64, weights in units of the columns' scale.

    Returns:
        (S,) float64 in [-1, 1].
    """
    total = np.zeros(len(candidates))
    for block in problem.blocks():
        total += block.share @ _cosines(block, candidates)
    return total


def row_cosines(problem: Rows, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cosine of each of the problem's rows under one blend.

    Args:
        problem: rows, centring and norms.
        weights: (K,) float64, in units of the columns' scale.

    Returns:
        (n,) float64, in the order of `problem.rows`.
    """
    return np.concatenate([_cosines(b, weights[None, :])[:, 0] for b in problem.blocks()])


def expand(problem: Rows, weights: NDArray[np.float64]) -> Expansion:
    """Value, gradient and Hessian of the mean cosine at one point.

    Args:
        problem: rows, centring and norms.
        weights: (K,) float64, in units of the columns' scale.

    Returns:
        The expansion; the Hessian is symmetric.
    """
    columns = problem.columns
    first, second = packed_pairs(columns)
    value, gradient, hessian = 0.0, np.zeros(columns), np.zeros((columns, columns))
    packed = np.zeros(len(first))
    spread = _spread(weights, first, second)
    for block in problem.blocks():
        blended = (block.gram @ spread.astype(block.gram.dtype)).astype(np.float64)  # G u, (n, K)
        inverse, uncovered = _inverse_length(block, blended @ weights, weights)
        along = block.cross @ weights
        share = block.share * inverse
        value += float(share @ along) + float(block.share[uncovered] @ block.fallback[uncovered])
        pull = share * along * inverse**2
        gradient += block.cross.T @ share - blended.T @ pull
        mixed = block.cross.T @ (blended * (share * inverse**2)[:, None])
        outer = blended.T @ (blended * (3.0 * pull * inverse**2)[:, None])
        hessian += outer - mixed - mixed.T
        packed += block.gram.T @ pull.astype(block.gram.dtype)
    curvature = np.zeros((columns, columns))
    curvature[first, second] = packed
    curvature[second, first] = packed
    return Expansion(value, gradient, hessian - curvature)


def mean_gram(problem: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean Gram matrix (K, K) and the mean cross products (K,) of the problem's rows."""
    columns = problem.columns
    packed, cross = np.zeros(columns * (columns + 1) // 2), np.zeros(columns)
    for block in problem.blocks():
        packed += block.gram.T @ block.share.astype(block.gram.dtype)
        cross += block.share @ block.cross
    gram = np.zeros((columns, columns))
    first, second = packed_pairs(columns)
    gram[first, second] = packed
    gram[second, first] = packed
    return gram, cross


def _cosines(block: Block, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, S) cosines of each row under each candidate."""
    first, second = packed_pairs(candidates.shape[1])
    squares = candidates[:, first] * candidates[:, second] * np.where(first == second, 1.0, 2.0)
    square = (block.gram @ squares.T.astype(block.gram.dtype)).astype(np.float64)
    parts = block.lengths @ np.abs(candidates).T
    covered = np.sqrt(np.maximum(square, 0.0)) > CANCELLED * parts
    inverse = np.divide(1.0, np.sqrt(np.abs(square)), out=np.zeros_like(square), where=covered)
    return np.where(parts > 0.0, (block.cross @ candidates.T) * inverse, block.fallback[:, None])


def _inverse_length(
    block: Block, square: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n,) 1/s, 0 where the row is cancelled or uncovered, and where it is uncovered."""
    parts = block.lengths @ np.abs(weights)
    length = np.sqrt(np.maximum(square, 0.0))
    covered = length > CANCELLED * parts
    return np.divide(1.0, length, out=np.zeros_like(length), where=covered), parts == 0.0


def _spread(
    weights: NDArray[np.float64], first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float64]:
    """(Q, K) with `packed @ spread = G u` for every packed row at once."""
    pairs = np.arange(len(first))
    spread = np.zeros((len(first), len(weights)))
    spread[pairs, first] = weights[second]
    spread[pairs, second] = weights[first]
    return spread
