"""The objective: mean cosine of a blend with its targets, with exact derivatives.

With `s = sqrt(u·G u)` and `a = c·u` a row scores `a/s`; by the quotient rule its gradient is
`c/s - a g/s³` with `g = G u`, its Hessian `-(c gᵀ + g cᵀ)/s³ - a G/s³ + 3 a g gᵀ/s⁵`.

A row whose blend is no longer than CANCELLED times the sum of its parts' lengths scores 0 with
gradient 0; a row that no member of nonzero weight covers scores with the prior, as it is predicted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.problem import SHORTEST, Block, Rows, packed_pairs
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
        total += _cosines(block, candidates) @ block.share
    return total


def row_cosines(problem: Rows, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cosine of each of the problem's rows under one blend.

    Args:
        problem: rows, centring and norms.
        weights: (K,) float64, in units of the columns' scale.

    Returns:
        (n,) float64, in the order of its rows.
    """
    return np.concatenate([_cosines(b, weights[None, :])[0] for b in problem.blocks()])


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
        parts = np.abs(weights) @ block.lengths
        gram = _wide_enough(block.gram, parts)
        blended = (spread.astype(gram.dtype) @ gram).astype(np.float64)  # G u, (K, n)
        inverse = inverse_length(weights @ blended, parts)
        along = weights @ block.cross
        share = block.share * inverse
        uncovered = _uncovered(block, weights[None, :])[0]
        value += float(block.share @ np.where(uncovered, block.fallback, along * inverse))
        pull = share * along * inverse**2
        gradient += block.cross @ share - blended @ pull
        slope = blended * inverse**2  # g/s²; s⁵ by itself could leave float64
        mixed = block.cross @ (slope * share).T
        outer = (slope * (3.0 * share * along)) @ slope.T
        hessian += outer - mixed - mixed.T
        packed += gram @ pull.astype(gram.dtype)
    curvature = np.zeros((columns, columns))
    curvature[first, second] = packed
    curvature[second, first] = packed
    return Expansion(value, gradient, hessian - curvature)


class RowSlopes(NamedTuple):
    """What each row gives to a gradient, in the order of a problem's rows.

    Along any column, the problem's own or not, the mean cosine rises by `c @ cross - g @ gram`, of
    its cross products c and its products g with the blend.
    """

    cross: NDArray[np.float64]  # (n,)
    gram: NDArray[np.float64]  # (n,)


def row_slopes(problem: Rows, weights: NDArray[np.float64]) -> RowSlopes:
    """The rows' parts in the gradient at one point; arguments as in `expand`."""
    cross, gram = list[NDArray[np.float64]](), list[NDArray[np.float64]]()
    for block in problem.blocks():
        inverse = _inverse_lengths(block, weights[None, :])[0]
        cross.append(block.share * inverse)
        gram.append(cross[-1] * (weights @ block.cross) * inverse**2)
    return RowSlopes(np.concatenate(cross), np.concatenate(gram))


def mean_gram(problem: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean Gram matrix (K, K) and the mean cross products (K,) of the problem's rows."""
    columns = problem.columns
    packed, cross = np.zeros(columns * (columns + 1) // 2), np.zeros(columns)
    for block in problem.blocks():
        packed += block.gram @ block.share.astype(block.gram.dtype)
        cross += block.cross @ block.share
    gram = np.zeros((columns, columns))
    first, second = packed_pairs(columns)
    gram[first, second] = packed
    gram[second, first] = packed
    return gram, cross


def _cosines(block: Block, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, n) cosines of each row under each candidate."""
    size = np.abs(candidates).sum(axis=1, keepdims=True)
    weights = candidates / np.where(size > 0.0, size, 1.0)  # any scale: squares must fit a float32
    cosine = (weights @ block.cross) * _inverse_lengths(block, weights)
    return np.where(_uncovered(block, weights), block.fallback, cosine)


def _inverse_lengths(block: Block, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, n) one over each row's length under weights whose magnitudes sum to about 1."""
    first, second = packed_pairs(weights.shape[1])
    squares = weights[:, first] * weights[:, second] * np.where(first == second, 1.0, 2.0)
    parts = np.abs(weights) @ block.lengths
    gram = _wide_enough(block.gram, parts)
    return inverse_length((squares.astype(gram.dtype) @ gram).astype(np.float64), parts)


def _wide_enough(gram: NDArray[np.floating], parts: NDArray[np.float64]) -> NDArray[np.floating]:
    """The Gram rows in float64 where a row's parts are so short that float32 would underflow."""
    shortest = parts.min(where=parts > 0.0, initial=1.0)
    return gram if shortest > SHORTEST else gram.astype(np.float64)


def inverse_length(square: NDArray[np.float64], parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """1/s, 0 where the row is cancelled or has no column of any weight."""
    length = np.sqrt(np.maximum(square, 0.0))
    covered = length > CANCELLED * parts
    return np.divide(1.0, length, out=np.zeros_like(length), where=covered)


def _uncovered(block: Block, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(S, n) where no member of nonzero weight has the row: the prior, whatever its own weight."""
    return np.asarray(np.abs(weights[:, 1:]) @ block.lengths[1:] == 0.0)


def _spread(
    weights: NDArray[np.float64], first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float64]:
    """(K, Q) with `spread @ packed = G u` for every packed row at once."""
    pairs = np.arange(len(first))
    spread = np.zeros((len(weights), len(first)))
    spread[first, pairs] = weights[second]
    spread[second, pairs] = weights[first]
    return spread
