"""The blend of the members that are there: the spec's own, or plain weights where some are not."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from ensembler.blends.contract import Blend
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.numbers import decode_vector
from ensembler.spec.thaw import thaw, thaw_weighted
from ensembler.spec.weighted import WeightedSpec


def blend_of(spec: EnsembleSpec, there: Collection[str]) -> Blend:
    """The blend of the members that are there.

    Args:
        spec: the frozen blend.
        there: names of members, some perhaps not the spec's.

    Returns:
        The spec's own blend where it lacks no member, else plain weights of those that are left.
    """
    missing = [member.name for member in spec.weighted.members if member.name not in there]
    return thaw_weighted(blend_without(spec, missing)) if missing else thaw(spec)


def blend_without(spec: EnsembleSpec, missing: Collection[str]) -> WeightedSpec:
    """Plain weights of the members that are left.

    Args:
        spec: the frozen blend; of a composed one, the weights that stand in for it.
        missing: names of its members.

    Returns:
        The blend without them: its weights solved again where the study solved them, else those
        of the spec, renormalised; the prior alone where none is left.
    """
    if len(missing) == len(spec.weighted.members):
        return _reweighted(spec.weighted, 1.0, {})
    if solves_weights(spec):
        return resolve_blend(spec, missing)
    blend = spec.weighted
    left = [member for member in blend.members if member.name not in missing]
    total = abs(blend.prior.weight) + sum(abs(member.weight) for member in left)
    return _reweighted(
        blend,
        blend.prior.weight / total,
        {member.name: member.weight / total for member in left},
    )


def solves_weights(spec: EnsembleSpec) -> bool:
    """Whether the study solved its weights; given or sampled ones are not ours to change."""
    return bool(spec.provenance.study.get("weights", "exact") == "exact")


def resolve_blend(spec: EnsembleSpec, missing: Collection[str]) -> WeightedSpec:
    """Solve the weights of the members that are left, on the spec's coreset.

    Norms and means stay. A prior of weight 0 stays out. Weights may be negative where one of the
    spec's is: then the study allowed it.

    Args:
        spec: the frozen blend.
        missing: names of its members, not all of them.

    Returns:
        The blend without them.
    """
    from ensembler.blending.resolve import resolve_weights

    blend, coreset = spec.weighted, spec.coreset
    columns = 1 + len(blend.members)
    present = [member.name not in missing for member in blend.members]
    weights = resolve_weights(
        cosines=decode_vector(coreset.cosines).reshape(coreset.rows, columns * (columns - 1) // 2),
        cross=decode_vector(coreset.cross).reshape(coreset.rows, columns),
        lengths=decode_vector(coreset.lengths).reshape(coreset.rows, columns),
        weight=decode_vector(coreset.weight),
        alphas=np.array([0.0, *(member.alpha for member in blend.members)]),
        keep=np.array([blend.prior.weight != 0.0, *present]),
        free=min(blend.prior.weight, *(member.weight for member in blend.members)) < 0.0,
    ).tolist()
    kept = zip(blend.members, weights[1:], present, strict=True)
    return _reweighted(
        blend, weights[0], {member.name: weight for member, weight, here in kept if here}
    )


def _reweighted(blend: WeightedSpec, prior: float, weights: Mapping[str, float]) -> WeightedSpec:
    members = (
        member.model_copy(update={"weight": weights[member.name]})
        for member in blend.members
        if member.name in weights
    )
    return blend.model_copy(
        update={
            "prior": blend.prior.model_copy(update={"weight": prior}),
            "members": tuple(members),
        }
    )
