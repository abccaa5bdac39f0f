"""The numbers beside a blend: held out, against baselines, member by member."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blenders.weights.fitted import weighted_blend
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting, weighting_problem
from ensembler.fitting.preparing import Prepared
from ensembler.folds import why_dealt_anew
from ensembler.scoring.baselines import baseline_fits
from ensembler.scoring.contributions import alone, losses_without
from ensembler.scoring.intervals import GroupBootstrap
from ensembler.scoring.nested import Fit, Nested, nested_cosines
from ensembler.search.searching import without_member
from ensembler.spec.model import Baselines, Difference, HeldOut, MemberScore, Scores


def honest_scores(
    prepared: Prepared,
    weighting: Weighting,
    in_sample: float,
    *,
    nested: Nested | None,
    cosines: NDArray[np.float64] | None,
) -> Scores:
    """All scores of a spec.

    Args:
        prepared: what was fitted on; the baselines are of all members, however few were.
        weighting: what the search on all rows found.
        in_sample: the frozen blend's score on the rows that chose it.
        nested: the search repeated without each fold, or None.
        cosines: (rows,) held out, of a blend that no plain search found: `weighting` and `nested`,
            if any, are then of the weights that stand in for it; None for the search's own.

    Returns:
        The scores; without `nested` and `cosines` none is held out.
    """
    data = prepared.data
    statistics, samples = data.statistics, data.store.samples
    rows, means = alone(statistics)
    shares = _shares(statistics, weighting)
    losses: list[float | None] = [None] * len(rows)
    held_out = baselines = None
    if nested is not None:
        losses = list(losses_without(statistics, nested, partial(without_member, data.space)))
        cosines = nested.cosines if cosines is None else cosines
    if cosines is not None:
        bootstrap = GroupBootstrap(samples.group, statistics.weight, data.space.definition.seed)
        rivals = _baselines(prepared)
        held_out = held_out_score(cosines, rivals, bootstrap)
        baselines = Baselines(**{name: bootstrap.mean(rivals[name]) for name in rivals})
    return Scores(
        in_sample=in_sample,
        held_out=held_out,
        baselines=baselines,
        members={
            name: MemberScore(
                rows=int(rows[m]),
                share=float(shares[1 + m]),
                alone=float(means[m]),
                loss_without=losses[m],
            )
            for m, name in enumerate(statistics.names)
        },
        prior_share=float(shares[0]),
        rows=len(statistics),
        groups=len(np.unique(samples.group)),
        folds=statistics.folds,
        dealt_anew=why_dealt_anew(samples.fold, samples.group),
    )


def held_out_score(
    cosines: NDArray[np.float64],
    others: Mapping[str, NDArray[np.float64]],
    bootstrap: GroupBootstrap,
) -> HeldOut:
    """The held-out score of a blend, and its lead over each of some others.

    Args:
        cosines: (rows,) float64, the blend's.
        others: (rows,) float64 by name, on the same rows.
        bootstrap: the draws.
    """
    return HeldOut(
        score=bootstrap.mean(cosines),
        interval=bootstrap.interval(cosines),
        versus={
            name: Difference(
                difference=bootstrap.mean(cosines - values),
                interval=bootstrap.interval(cosines - values),
            )
            for name, values in others.items()
        },
    )


def _shares(statistics: Statistics, weighting: Weighting) -> NDArray[np.float64]:
    """(K,) shares of the prior and the members in the sum; their magnitudes sum to 1.

    A weight alone says little: without a norm it is small where a member's vectors are long.
    """
    problem = weighting_problem(statistics, weighting, np.arange(len(statistics)), None)
    scaled = np.array(weighting.weights) * problem.scale
    return np.asarray(scaled / np.abs(scaled).sum() + 0.0)  # + 0.0: no negative zeros


def _baselines(prepared: Prepared) -> dict[str, NDArray[np.float64]]:
    """(rows,) held-out cosines of each baseline; from the vectors where pairs are not known."""
    everyone = prepared.everyone
    if everyone is None:
        statistics = prepared.data.statistics
        fits = baseline_fits(statistics)
        return {name: nested_cosines(statistics, fit).cosines for name, fit in fits.items()}
    fits = baseline_fits(everyone.statistics)
    return {name: _streamed(everyone, fit) for name, fit in fits.items()}


def _streamed(data: Data, fit: Fit) -> NDArray[np.float64]:
    """(rows,) the cosines of `nested_cosines`, from the vectors instead of the members' pairs."""
    cosines = np.empty(len(data.statistics))
    for fold in range(data.statistics.folds):
        rows = data.fold_rows(fold)
        weighting = fit(np.flatnonzero(data.statistics.fold != fold), fold)
        blend = weighted_blend(data.statistics, weighting)
        cosines[rows] = data.cosines(blend, rows, frozenset({fold}))
    return cosines
