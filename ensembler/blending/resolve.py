"""Weights again from a few rows of statistics: what a spec does when a member is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.problem import Block, make_block
from ensembler.blending.solver import solve


@dataclass(frozen=True, kw_only=True)
class _Coreset:
    block: Block
    scale: NDArray[np.float64]

    @property
    def columns(self) -> int:
        return len(self.scale)

    def blocks(self) -> Iterator[Block]:
        return iter((self.block,))


def resolve_weights(
    cosines: NDArray[np.float32],
    cross: NDArray[np.float32],
    lengths: NDArray[np.float32],
    weight: NDArray[np.float32],
    alphas: NDArray[np.float64],
    keep: NDArray[np.bool_],
    free: bool,
) -> NDArray[np.float64]:
    """Solve the weights of some columns on a coreset; column 0 is the prior.

    Args:
        cosines: (rows, K(K-1)/2) between columns j < k by row.
        cross: (rows, K) cosines with the target.
        lengths: (rows, K), ‖x‖ of each member, 0 where it has no row; 1 for the prior.
        weight: (rows,) row weights.
        alphas: (K,) exponents of the norms; 0 for the prior.
        keep: (K,) the columns that are there; at least one.
        free: whether weights may be negative.

    Returns:
        (K,) float64 weights, 0 where not kept.

    Raises:
        ValueError: nothing is kept.
    """
    wide = lengths.astype(np.float64)
    powered = np.power(wide, 1.0 - alphas, out=np.zeros_like(wide), where=wide > 0.0)
    covered = np.maximum((powered > 0.0).sum(axis=0), 1)
    scale = powered.sum(axis=0) / covered
    scale[scale == 0.0] = 1.0
    block = make_block(
        cosines.T.astype(np.float64),
        cross.T.astype(np.float64),
        (powered / scale).T,
        fallback=cross[:, 0].astype(np.float64),
        share=weight.astype(np.float64) / weight.sum(dtype=np.float64),
    )
    problem = _Coreset(block=block, scale=scale)
    return solve(problem, keep, bounds="free" if free else "simplex").weights
