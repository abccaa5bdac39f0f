"""Composed blends for tests: one of every kind, a spec around it, and its rows by hand.

The row by hand is an oracle: float64, one sample at a time, none of the blends' own code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import WeightedSum
from ensembler.blends.contract import Blend
from ensembler.blends.gains import GainsBlend
from ensembler.blends.gated import GatedBlend
from ensembler.blends.kernel import KernelBlend
from ensembler.blends.linear import LinearBlend
from ensembler.blends.tree import TreeBlend
from ensembler.blends.weighted import WeightedBlend
from ensembler.spec.composed import ComposedSpec
from ensembler.spec.freeze_tree import freeze_tree
from ensembler.spec.loading import seal
from ensembler.spec.model import EnsembleSpec

Row = NDArray[np.float64]


def eighths(*shape: int, seed: int) -> NDArray[np.float32]:
    """Numbers that no rounding touches, neither to float32 nor to nine digits."""
    drawn = np.random.default_rng(seed).integers(-8, 9, shape)
    return (drawn / 8.0).astype(np.float32)


def weights(count: int, dim: int, seed: int, *, centred: bool = True) -> WeightedSum:
    drawn = np.random.default_rng(seed).integers(1, 9, (2, count))
    return WeightedSum(
        prior_weight=0.25,
        weights=drawn[0] / 8.0,
        alphas=drawn[1] / 8.0,
        means=eighths(count, dim, seed=seed) / np.float32(8.0) if centred else None,
    )


def every_kind(names: Sequence[str], dim: int) -> TreeBlend:
    """A tree of two chains that between them have every kind of blend, and either basis."""
    members, last = tuple(names), tuple(names[-1:])
    gated = GatedBlend(members=members, numbers=weights(len(members), dim, 1), agreement=2.0)
    basis = np.eye(dim, dtype=np.float32)[:, ::-1]
    principal = GainsBlend(base=gated, basis=basis, gains=eighths(dim, seed=2) + 2.0, prior=0.75)
    mapped = LinearBlend(
        base=principal,
        mapped=members,
        alphas=np.ones(len(members)),
        means=eighths(len(members), dim, seed=3),
        scale=0.875,
        maps=eighths(len(members), dim, dim, seed=4) / np.float32(4.0),
    )
    plain = WeightedBlend(members=last, numbers=weights(1, dim, 5, centred=False))
    damped = GainsBlend(base=plain, basis=None, gains=eighths(dim, seed=6) + 2.0, prior=1.0)
    alone = LinearBlend(
        base=None,
        mapped=last,
        alphas=np.zeros(1),
        means=None,
        scale=0.5,
        maps=eighths(1, dim, dim, seed=7),
    )
    smooth = KernelBlend(
        base=damped,
        landmarks=eighths(3, dim, seed=9) / np.float32(2.0),
        coefficients=eighths(3, dim, seed=10),
        width=2.5,
        scale=0.75,
    )
    children = (("mapped", mapped), ("smooth", smooth), ("alone", alone))
    return TreeBlend(children=children, numbers=weights(3, dim, 8))


def composed(spec: EnsembleSpec, blend: Blend) -> EnsembleSpec:
    """A spec of plain weights sealed again around another blend, for which they stand in."""
    tree, tensors = freeze_tree(blend)
    return seal(
        dim=spec.dim,
        blend=ComposedSpec(tree=tree, fallback=spec.weighted, tensors=tensors.sha256),
        scores=spec.scores,
        provenance=spec.provenance,
        coreset=spec.coreset,
        tensors=tensors,
    )


def row_by_hand(blend: Blend, rows: Mapping[str, Row], prior: Row) -> Row:
    """A sample under a blend; zero where it cancels to the last bit."""
    found = _row(blend, rows, prior)
    return prior if found is None else found


def _row(blend: Blend, rows: Mapping[str, Row], prior: Row) -> Row | None:
    """The same, None where no member has it."""
    match blend:
        case WeightedBlend():
            return _sum(blend.numbers, [rows[name] for name in blend.members], prior)
        case GatedBlend():
            own = [rows[name] for name in blend.members]
            return _sum(blend.numbers, own, prior, agreement=blend.agreement)
        case GainsBlend():
            return _filtered(blend, _row(blend.base, rows, prior), prior)
        case LinearBlend():
            base = None if blend.base is None else _row(blend.base, rows, prior)
            return _mapped(blend, base, rows, prior)
        case KernelBlend():
            return _smoothed(blend, _row(blend.base, rows, prior))
        case TreeBlend():
            children = [_row(child, rows, prior) for _, child in blend.children]
            own = [np.zeros(len(prior)) if child is None else child for child in children]
            return _sum(blend.numbers, own, prior)
    raise TypeError(type(blend))


def _filtered(blend: GainsBlend, base: Row | None, prior: Row) -> Row | None:
    if base is None:
        return None
    along = (base @ prior) * prior
    total = blend.prior * along
    basis = np.eye(len(prior)) if blend.basis is None else blend.basis.astype(float)
    for k, gain in enumerate(blend.gains):
        total = total + float(gain) * (basis[:, k] @ (base - along)) * basis[:, k]
    return _unit(total)


def _mapped(
    blend: LinearBlend, base: Row | None, rows: Mapping[str, Row], prior: Row
) -> Row | None:
    given = [_less_mean(rows[name], blend.means, m) for m, name in enumerate(blend.mapped)]
    if base is None and not any(x.any() for x in given):
        return None
    total = blend.scale * (prior if base is None else base)
    for x, alpha, matrix in zip(given, blend.alphas, blend.maps, strict=True):
        if x.any():
            total = total + matrix.astype(float).T @ (x * np.linalg.norm(x) ** -alpha)
    return _unit(total)


def _smoothed(blend: KernelBlend, base: Row | None) -> Row | None:
    if base is None:
        return None
    total = blend.scale * base
    for landmark, c in zip(blend.landmarks, blend.coefficients, strict=True):
        near = np.exp(blend.width * (base @ landmark.astype(float) - 1.0))
        total = total + near * c.astype(float)
    return _unit(total)


def _sum(
    numbers: WeightedSum, own: Sequence[Row], prior: Row, *, agreement: float = 0.0
) -> Row | None:
    given = [_less_mean(row, numbers.means, m) for m, row in enumerate(own)]
    here = [m for m, x in enumerate(given) if x.any()]
    if not here:
        return None
    agree = dict.fromkeys(here, 0.0)
    if len(here) > 1:
        for m in here:
            others = [_unit(given[m]) @ _unit(given[k]) for k in here if k != m]
            agree[m] = float(np.mean(others))
    centre = float(np.mean(list(agree.values())))
    total = numbers.prior_weight * prior
    for m in here:
        weight = numbers.weights[m] * np.exp(agreement * (agree[m] - centre))
        total = total + weight * given[m] * np.linalg.norm(given[m]) ** -numbers.alphas[m]
    return _unit(total)


def _less_mean(row: Row, means: NDArray[np.float32] | None, m: int) -> Row:
    return row if means is None or not row.any() else row - means[m].astype(float)


def _unit(row: Row) -> Row:
    return row / np.linalg.norm(row)
