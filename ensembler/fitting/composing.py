"""Freezing what any blender found: plain weights as such, all else as a tree beside them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import FittedBlend
from ensembler.blenders.data import Data
from ensembler.blending.weighting import Weighting, weighting_problem
from ensembler.blends.weighted import WeightedBlend
from ensembler.fitting.freezing import Fitted
from ensembler.fitting.searched import Searched
from ensembler.search.searching import without_member
from ensembler.spec.composed import ComposedSpec
from ensembler.spec.freeze import freeze_blend
from ensembler.spec.freeze_tree import freeze_tree
from ensembler.spec.thaw import thaw_tree


def needs_stand_in(fitted: FittedBlend) -> bool:
    """Whether a blend is more than plain weights, which must stand in when a member is missing."""
    return not isinstance(fitted.blend, WeightedBlend)


def freeze_fitted(
    data: Data,
    fitted: FittedBlend,
    stand_in: Searched | None,
    *,
    cosines: NDArray[np.float64] | None = None,
    statuses: tuple[str, ...] = (),
) -> Fitted:
    """Freeze what a blender found on all rows.

    Args:
        data: what it was fitted on, no fold held out.
        fitted: the blend.
        stand_in: the study's search for plain weights, for the shares, the losses and a missing
            member; None for a blend of plain weights.
        cosines: (rows,) float64, held out: each row's under a fit without its fold; None for none.
        statuses: how the fits without each fold ended, by name.

    Raises:
        SpecError: the blend is of a kind that no spec has a place for.
        TypeError: a blend that `needs_stand_in` comes without.
    """
    if isinstance(fitted.blend, WeightedBlend):
        weighting = _weighting_of(fitted.blend, data)
        return Fitted(
            blend=freeze_blend(weighting, data.statistics, data.store),
            tensors=None,
            weighting=weighting,
            trials=0,
            nested=None,  # only the blend's own blender could say what a member's loss would be
            cosines=cosines,
            status=fitted.status,
            statuses=statuses,
        )
    if stand_in is None:
        raise TypeError("a blend that is more than plain weights needs some to stand in")
    tree, tensors = freeze_tree(fitted.blend)
    members = thaw_tree(tree, tensors, data.dim).members
    weighting = _among(members, data, stand_in.outcome.weighting)
    fallback = freeze_blend(weighting, data.statistics, data.store, members)
    return Fitted(
        blend=ComposedSpec(tree=tree, fallback=fallback, tensors=tensors.sha256),
        tensors=tensors,
        weighting=weighting,
        trials=len(stand_in.outcome.trials),
        nested=stand_in.nested,
        cosines=cosines,
        status=fitted.status,
        statuses=statuses,
    )


def _weighting_of(blend: WeightedBlend, data: Data) -> Weighting:
    """Plain weights as those of all members; 0 for a member that the blend goes without."""
    numbers, names = blend.numbers, data.names
    weights, alphas = dict.fromkeys(names, 0.0), dict.fromkeys(names, 1.0)
    weights |= zip(blend.members, numbers.weights.tolist(), strict=True)
    alphas |= zip(blend.members, numbers.alphas.tolist(), strict=True)
    return Weighting(
        centred=numbers.means is not None,
        alphas=tuple(alphas.values()),
        weights=(numbers.prior_weight, *weights.values()),
    )


def _among(members: Collection[str], data: Data, weighting: Weighting) -> Weighting:
    """Plain weights of a blend's own members, so that the stand-in needs no further predictor."""
    without = np.flatnonzero([name not in members for name in data.names])
    if not np.array(weighting.weights)[1 + without].any():
        return weighting
    rows = np.arange(len(data.statistics))
    problem = weighting_problem(data.statistics, weighting, rows, None)
    return without_member(data.space, weighting, problem, without)
