"""A frozen spec as a stand-alone file: numpy and the vectors, nothing of this package."""

from __future__ import annotations

from ensembler.blending.rules import CANCELLED
from ensembler.errors import SpecError
from ensembler.spec.composed import ComposedSpec
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.weighted import MemberSpec

_SOURCE = '''\
"""{count} members and a prior, blended as in ensemble.json {digest}; needs numpy only."""
import base64

import numpy as np

DIM = {dim}
CANCELLED = {cancelled!r}  # a sum this short beside its parts is rounding, not a direction
PRIOR_WEIGHT = {prior_weight!r}
PRIOR = {prior!r}
MEMBERS = {{  # name: (weight, alpha, mean)
{members}}}


def vector(text):
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float64)


def length(rows):
    return np.linalg.norm(rows, axis=-1)


def blend(members):
    """{{name: (n, DIM) array, zero or NaN rows where absent}} -> (n, DIM), rows of length 1."""
    prior = vector(PRIOR)
    n = max(len(rows) for rows in members.values())
    total = np.tile(PRIOR_WEIGHT * prior, (n, 1))
    parts = np.full(n, abs(PRIOR_WEIGHT) * length(prior))
    absent = np.ones(n, dtype=bool)
    for name, (weight, alpha, mean) in MEMBERS.items():
        e = np.asarray(members[name], np.float32).astype(np.float64)
        mu = vector(mean) if mean else np.zeros(DIM)
        size = length(e - mu)
        here = (length(e) > 0) & (size > CANCELLED * (length(e) + length(mu)))
        scale = weight * size[here] ** -alpha
        total[here] += scale[:, None] * (e - mu)[here]
        parts[here] += np.abs(scale) * size[here]
        absent &= ~here
    peak = np.abs(total).max(axis=1, keepdims=True)
    total /= np.where(peak == 0, 1, peak)  # so that squares of tiny and huge rows stay finite
    total[absent | (length(total) * peak[:, 0] <= CANCELLED * parts)] = prior
    return total / length(total)[:, None]
'''


def export_python(spec: EnsembleSpec) -> str:
    """The source of a Python file that blends as `predict` does.

    Its `blend` takes a dictionary of arrays, one for each member, and gives the rows of the blend
    in float64. It knows no way around a missing member; that needs this package.

    Args:
        spec: the frozen blend, of plain weights.

    Returns:
        About forty lines, the vectors in them as base64.

    Raises:
        SpecError: the blend is a composed one, whose matrices do not fit in forty lines.
    """
    blend = spec.blend
    if isinstance(blend, ComposedSpec):
        raise SpecError(
            "a stand-alone file holds plain weights, and this blend is composed (its tree begins"
            f" with kind {blend.tree.kind!r}); apply it with `ensembler predict`, which a"
            " kernel without a network runs from our wheel, or export a spec of `ensembler fit"
            " --blender weighted`"
        )
    return _SOURCE.format(
        count=len(blend.members),
        digest=spec.digest[:12],
        dim=spec.dim,
        cancelled=CANCELLED,
        prior_weight=blend.prior.weight,
        prior=blend.prior.vector,
        members="".join(f"    {_line(member)},\n" for member in blend.members),
    )


def _line(member: MemberSpec) -> str:
    return f"{member.name!r}: ({member.weight!r}, {member.alpha!r}, {member.mean or ''!r})"
