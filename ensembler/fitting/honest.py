"""The numbers beside a blend: held out, against baselines, member by member."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blenders.weights.fitted import spelt_out
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting, weighting_problem
from ensembler.evaluation.baselines import baseline_fits
from ensembler.evaluation.contributions import alone, losses_without
from ensembler.evaluation.intervals import GroupBootstrap
from ensembler.evaluation.nested import Fit, Nested, nested_cosines
from ensembler.folds import why_dealt_anew
from ensembler.search.searching import without_member
from ensembler.search.space import Space
from ensembler.spec.model import Baselines, Difference, HeldOut, MemberScore, Scores
from ensembler.store.reader import Samples


def honest_scores(
    space: Space,
    statistics: Statistics,
    samples: Samples,
    weighting: Weighting,
    in_sample: float,
    nested: Nested | None,
    cosines: NDArray[np.float64] | None = None,
    everyone: Data | None = None,
) -> Scores:
    """All scores of a spec.

    Args:
        space: of the study.
        statistics: of all rows.
        samples: of the store.
        weighting: what the search on all rows found.
        in_sample: the frozen blend's score on the rows that chose it.
        nested: the search repeated without each fold, or None.
        cosines: (rows,) held out, of a blend that is no plain search's: `weighting` and `nested`,
            if any, are then of the weights that stand in for it.
        everyone: all members, where `statistics` are of few of many: the baselines are theirs.

    Returns:
        The scores; without `nested` and `cosines` none is held out.
    """
    rows, means = alone(statistics)
    shares = _shares(statistics, weighting)
    losses: list[float | None] = [None] * len(rows)
    held_out = baselines = None
    if nested is not None:
        losses = list(losses_without(statistics, nested, partial(without_member, space)))
        cosines = nested.cosines if cosines is None else cosines
    if cosines is not None:
        bootstrap = GroupBootstrap(samples.group, statistics.weight, space.definition.seed)
        held_out, baselines = _versus(cosines, _baselines(statistics, everyone), bootstrap)
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


def _shares(statistics: Statistics, weighting: Weighting) -> NDArray[np.float64]:
    """(K,) what prior and members weigh in the sum; their magnitudes sum to 1.

    A weight alone says little: without a norm it is small where a member's vectors are long.
    """
    problem = weighting_problem(statistics, weighting, np.arange(len(statistics)), None)
    scaled = np.array(weighting.weights) * problem.scale
    return np.asarray(scaled / np.abs(scaled).sum() + 0.0)  # + 0.0: no negative zeros


def _baselines(statistics: Statistics, everyone: Data | None) -> dict[str, NDArray[np.float64]]:
    """(rows,) held-out cosines of each baseline; from the vectors where pairs are not known."""
    if everyone is None:
        fits = baseline_fits(statistics)
        return {name: nested_cosines(statistics, fit).cosines for name, fit in fits.items()}
    fits = baseline_fits(everyone.statistics)
    return {name: _streamed(everyone, fit) for name, fit in fits.items()}


def _streamed(data: Data, fit: Fit) -> NDArray[np.float64]:
    """(rows,) what `nested_cosines` gives, without a look at the members' pairs."""
    cosines = np.empty(len(data.statistics))
    for fold in range(data.statistics.folds):
        rows = data.fold_rows(fold)
        weighting = fit(np.flatnonzero(data.statistics.fold != fold), fold)
        blend = spelt_out(data.statistics, weighting)
        cosines[rows] = data.cosines(blend, rows, frozenset({fold}))
    return cosines


def _versus(
    held_out: NDArray[np.float64],
    baselines: Mapping[str, NDArray[np.float64]],
    bootstrap: GroupBootstrap,
) -> tuple[HeldOut, Baselines]:
    scores, versus = {}, {}
    for name, cosines in baselines.items():
        lead = held_out - cosines
        scores[name] = bootstrap.mean(cosines)
        versus[name] = Difference(
            difference=bootstrap.mean(lead), interval=bootstrap.interval(lead)
        )
    held = HeldOut(
        score=bootstrap.mean(held_out), interval=bootstrap.interval(held_out), versus=versus
    )
    return held, Baselines(**scores)
