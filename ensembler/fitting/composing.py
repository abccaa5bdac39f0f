"""Freezing what any blender found: plain weights as such, all else as a tree beside them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import FittedBlend
from ensembler.blenders.data import Data
from ensembler.blending.weighting import Weighting, weighting_problem
from ensembler.blends.contract import Blend
from ensembler.blends.weighted import Weighted
from ensembler.evaluation.nested import Nested
from ensembler.fitting.freezing import Found, seal_found
from ensembler.search.run import Outcome
from ensembler.search.searching import without_member
from ensembler.spec.composed import ComposedBlend
from ensembler.spec.freeze import freeze_blend
from ensembler.spec.freeze_tree import freeze_tree
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.thaw import thaw_tree


def freeze_fitted(
    names: dict[str, Any],
    data: Data,
    fitted: FittedBlend,
    cosines: NDArray[np.float64] | None,
    stand_in: Outcome,
    nested: Nested | None,
    everyone: Data | None = None,
) -> EnsembleSpec:
    """Freeze what a blender found on all rows, with its honest scores.

    Args:
        names: what the provenance tells of the study beside its definition: its name, the
            blender's, the corpus and the mix of sources where there are any.
        data: what it was fitted on, nothing aside.
        fitted: the blend.
        cosines: (rows,) float64, held out: each row's under a fit without its fold; None for none.
        stand_in: the search for plain weights on all rows. A blend that is more than weights takes
            them when a member is missing; shares and losses are told of them.
        nested: that search without each fold, for the losses; None for none.
        everyone: all members, for the baselines, where `data` are of few of many.

    Raises:
        SpecError: the blend is of a kind that no spec has a place for.
    """
    trials = len(stand_in.trials)
    if isinstance(fitted.blend, Weighted):
        found = _plain(fitted.blend, data, trials, cosines)
    else:
        found = _composed(fitted.blend, data, stand_in, nested, cosines)
    found = found._replace(everyone=everyone)
    return seal_found(names, data.store, data.space, data.statistics, found)


def _plain(blend: Weighted, data: Data, trials: int, cosines: NDArray[np.float64] | None) -> Found:
    """Plain weights; what a member's loss would be, only their own blender could tell."""
    numbers, names = blend.numbers, data.names
    weights, alphas = dict.fromkeys(names, 0.0), dict.fromkeys(names, 1.0)
    weights |= zip(blend.members, numbers.weights.tolist(), strict=True)
    alphas |= zip(blend.members, numbers.alphas.tolist(), strict=True)
    weighting = Weighting(
        centred=numbers.means is not None,
        alphas=tuple(alphas.values()),
        weights=(numbers.prior_weight, *weights.values()),
    )
    frozen = freeze_blend(weighting, data.statistics, data.store)
    return Found(frozen, None, weighting, trials, None, cosines)


def _composed(
    blend: Blend,
    data: Data,
    stand_in: Outcome,
    nested: Nested | None,
    cosines: NDArray[np.float64] | None,
) -> Found:
    tree, tensors = freeze_tree(blend)
    members = thaw_tree(tree, tensors, data.dim).members
    weighting = _among(members, data, stand_in.weighting)
    fallback = freeze_blend(weighting, data.statistics, data.store, members)
    composed = ComposedBlend(tree=tree, fallback=fallback, tensors=tensors.sha256)
    return Found(composed, tensors, weighting, len(stand_in.trials), nested, cosines)


def _among(members: Collection[str], data: Data, weighting: Weighting) -> Weighting:
    """Plain weights of a blend's members alone, so that what runs for the one serves the other."""
    without = np.flatnonzero([name not in members for name in data.names])
    if not np.array(weighting.weights)[1 + without].any():
        return weighting
    rows = np.arange(len(data.statistics))
    problem = weighting_problem(data.statistics, weighting, rows, None)
    return without_member(data.space, weighting, problem, without)
