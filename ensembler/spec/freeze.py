"""From a weighted blend in Gram space to its frozen form."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection

import numpy as np

from ensembler import __version__
from ensembler.blending.priors import prior_of_all
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting
from ensembler.spec.numbers import ALPHAS, WEIGHT_DIGITS, Norm, encode_vector
from ensembler.spec.weighted import MemberSpec, PriorSpec, WeightedSpec
from ensembler.store.reader import Store

PACKAGES = ("numpy", "optuna", "scipy")  # those whose version can change what a fit finds


def freeze_blend(
    weighting: Weighting, statistics: Statistics, store: Store, needed: Collection[str] = ()
) -> WeightedSpec:
    """Freeze a weighted blend: names, rounded weights, means, the prior of all targets.

    Args:
        weighting: for the statistics' members.
        statistics: of all rows.
        store: what they were built from.
        needed: members to name whatever their weight: those of the tree that it stands in for.

    Returns:
        The blend, without the members of weight 0 that are not needed.
    """
    records = {record.name: record for record in store.manifest.members}
    members = []
    for m, name in enumerate(statistics.names):
        weight = round_number(weighting.weights[1 + m])
        if weight == 0.0 and name not in needed:
            continue
        alpha = round_number(weighting.alphas[m])
        members.append(
            MemberSpec(
                name=name,
                sha256=records[name].sha256,
                weight=weight,
                norm=norm_of(alpha),
                alpha=alpha,
                mean=encode_vector(statistics.means[m]) if weighting.centred else None,
                origin=records[name].origin,
            )
        )
    vector = encode_vector(prior_of_all(statistics.fold_sums))
    prior = PriorSpec(weight=round_number(weighting.weights[0]), vector=vector)
    return WeightedSpec(centred=weighting.centred, prior=prior, members=tuple(members))


def norm_of(alpha: float) -> Norm:
    """The name of an exponent."""
    exact: dict[float, Norm] = {ALPHAS["none"]: "none", ALPHAS["l2"]: "l2"}
    return exact.get(alpha, "power")


def round_number(weight: float) -> float:
    """Round a weight, or an exponent, to WEIGHT_DIGITS significant digits."""
    return float(np.format_float_scientific(weight, precision=WEIGHT_DIGITS - 1, unique=False))


def versions() -> dict[str, str]:
    """Versions of this package and of those that can change what a fit finds."""
    return {"ensembler": __version__, **{p: importlib.metadata.version(p) for p in PACKAGES}}
