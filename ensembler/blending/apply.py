"""The weighted blend over vectors, in float64: what the statistics promise to agree with.

    blend = w_0·prior + Σ w_m · x_m · ‖x_m‖^-alpha_m,   x_m = e_m - mean_m when centred, else e_m

and each row scaled to length 1. Members come one after another, so that memory holds one block of
one of them whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.rules import CANCELLED
from ensembler.metrics import unit_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedSum:
    """A weighted blend's numbers; M members of dimension d.

    Attributes:
        prior_weight: w_0.
        weights: (M,) float64; a member of weight 0 is not in the blend.
        alphas: (M,) float64, the exponents: 0 leaves a row as it is, 1 gives it unit length.
        means: (M, d) float32, or None where members are not centred.
    """

    prior_weight: float
    weights: NDArray[np.float64]
    alphas: NDArray[np.float64]
    means: NDArray[np.float32] | None


class BlendedRows(NamedTuple):
    """Some rows of a blend.

    Attributes:
        vectors: (n, d) float64 of unit length; the prior where absent, zero where cancelled.
        absent: (n,) bool, no member of the blend has the row.
        cancelled: (n,) bool, the parts of the row leave nothing but rounding.
    """

    vectors: NDArray[np.float64]
    absent: NDArray[np.bool_]
    cancelled: NDArray[np.bool_]


class Part(NamedTuple):
    """A member's rows as a blend takes them.

    Attributes:
        vectors: (n, d) float64, x; zero where absent.
        lengths: (n,) float64, ‖x‖; zero where absent.
    """

    vectors: NDArray[np.float64]
    lengths: NDArray[np.float64]

    def factors(self, alpha: float) -> NDArray[np.float64]:
        """(n,) ‖x‖^-alpha, zero where absent."""
        positive = self.lengths > 0.0
        return np.power(self.lengths, -alpha, out=np.zeros_like(self.lengths), where=positive)


def blend_rows(
    blend: WeightedSum, prior: NDArray[np.floating], blocks: Iterable[NDArray[np.float32]]
) -> BlendedRows:
    """Blend the same rows of all members.

    Args:
        blend: weights, norms and means.
        prior: (n, d), the prior of each row; one for all rows is `np.broadcast_to(prior, (n, d))`.
        blocks: M arrays (n, d) of finite float32, zero rows where a member has none; taken one at
            a time.

    Returns:
        The rows. Lengths between 1e-30 and 1e30 are safe with any alpha in -4..4.
    """
    return blend_parts(blend, prior, parts_of(blend, blocks))


def parts_of(blend: WeightedSum, blocks: Iterable[NDArray[np.float32]]) -> Iterator[Part]:
    """What a blend makes of its members' rows before it scales them, one member at a time."""
    for m, block in enumerate(blocks):
        yield member_part(block, None if blend.means is None else blend.means[m])


def blend_parts(
    blend: WeightedSum,
    prior: NDArray[np.floating],
    parts: Iterable[Part],
    gates: NDArray[np.float64] | None = None,
) -> BlendedRows:
    """Add up members' parts.

    Args:
        blend: weights and norms.
        prior: (n, d), the prior of each row.
        parts: of M members, under the blend's means; they are written over.
        gates: (M, n), what each row's weights are multiplied by; None: nothing.
    """
    priors = np.asarray(prior, dtype=np.float64)
    total = blend.prior_weight * priors
    added = abs(blend.prior_weight) * _lengths(priors)
    absent = np.ones(len(priors), dtype=bool)
    for m, part in enumerate(parts):
        weight = blend.weights[m]
        if weight == 0.0:
            continue
        factor = part.factors(blend.alphas[m])
        if gates is not None:
            factor *= gates[m]
        total += np.multiply(part.vectors, (weight * factor)[:, None], out=part.vectors)
        added += abs(weight) * factor * part.lengths
        absent &= part.lengths == 0.0
    vectors = unit_rows(total)
    cancelled = ~absent & (np.einsum("id,id->i", vectors, total) <= CANCELLED * added)
    vectors[cancelled] = 0.0
    vectors[absent] = unit_rows(priors[absent])
    return BlendedRows(vectors, absent, cancelled)


def member_part(block: NDArray[np.float32], mean: NDArray[np.float32] | None) -> Part:
    """A member's rows less its mean; absent, besides zero rows, where centring leaves rounding.

    Args:
        block: (n, d) finite float32, zero rows where the member has none.
        mean: (d,) what is taken off first, or None.
    """
    vectors = block.astype(np.float64)
    stored = _lengths(vectors)
    if mean is None:
        return Part(vectors, stored)
    centre = mean.astype(np.float64)
    vectors -= centre
    lengths = _lengths(vectors)
    absent = (stored == 0.0) | (lengths <= CANCELLED * (stored + np.linalg.norm(centre)))
    vectors[absent], lengths[absent] = 0.0, 0.0
    return Part(vectors, lengths)


def _lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) lengths; float64 squares of any float32 neither under- nor overflow."""
    squares: NDArray[np.float64] = np.einsum("id,id->i", vectors, vectors)
    return np.sqrt(squares)
