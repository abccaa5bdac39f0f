"""The blend of the members that are there, when others of the spec are not."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ensembler.spec.model import EnsembleSpec, WeightedBlend, decode_vector


def resolve_blend(spec: EnsembleSpec, missing: Collection[str]) -> WeightedBlend:
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

    blend, coreset = spec.blend, spec.coreset
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
    members = (
        member.model_copy(update={"weight": weight})
        for member, weight, here in zip(blend.members, weights[1:], present, strict=True)
        if here
    )
    prior = blend.prior.model_copy(update={"weight": weights[0]})
    return blend.model_copy(update={"prior": prior, "members": tuple(members)})
