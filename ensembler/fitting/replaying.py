"""Weights found elsewhere, without a fit: a study of fixed weights as a blend."""

from __future__ import annotations

import numpy as np

from ensembler.blending.apply import WeightedSum
from ensembler.blends.weighted import WeightedBlend
from ensembler.errors import StudyError
from ensembler.search.definition import StudyDefinition, select_members
from ensembler.search.space import Space
from ensembler.store.reader import Store


def fixed_blend(definition: StudyDefinition, store: Store) -> WeightedBlend:
    """The one blend that a study of fixed weights leaves, for a store that may lack targets.

    Args:
        definition: weights "fixed", centring "off", no prior, and one norm without an exponent to
            be found.
        store: with the members it names.

    Returns:
        The members of nonzero weight, a group's shared equally by its members.

    Raises:
        StudyError: the study leaves something to be chosen by targets, or its members are not the
            store's.
    """
    open_settings = [
        setting
        for setting, settled in (
            ('weights = "fixed"', definition.weights == "fixed"),
            ('centring = "off"', definition.centring == "off"),
            ("prior = false", not definition.prior),
            ('norms = ["l2"] or ["none"]', definition.norms in (("l2",), ("none",))),
        )
        if not settled
    ]
    if open_settings:
        raise StudyError(
            "only a study that leaves nothing open is a blend without a fit: set"
            f" {', '.join(open_settings)}; or fit it with `ensembler fit` and name the spec"
        )
    groups = select_members(definition, store.names)
    names = tuple(name for members in groups.values() for name in members)
    (candidate,) = Space(definition=definition, groups=groups, names=names).baselines()
    given = dict(zip(names, (candidate.weights or ())[1:], strict=True))
    weights = {name: weight for name, weight in given.items() if weight}
    numbers = WeightedSum(
        prior_weight=0.0,
        weights=np.array(list(weights.values())),
        alphas=np.full(len(weights), candidate.alphas[0]),
        means=None,
    )
    return WeightedBlend(members=tuple(weights), numbers=numbers)
