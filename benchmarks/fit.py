"""Fit: ours beside the samplers, optimisers and selections that people run on arrays."""

from __future__ import annotations

import itertools
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import check
from benchmarks.contestants import CONTESTANTS, Chosen
from benchmarks.data import SHAPES, TOY, Shape, fresh_cache, generated_store
from benchmarks.statistics import build, store_folds
from benchmarks.table import Line, Result
from benchmarks.timing import timed
from ensembler.blending.build import default_kernel
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting
from ensembler.fitting.inputs import fit_statistics, make_space, resolve_study
from ensembler.search.candidate import Candidate
from ensembler.search.record import in_memory
from ensembler.search.run import Outcome
from ensembler.search.scoring import Scorer
from ensembler.search.searching import search
from ensembler.search.space import Space
from ensembler.store.reader import Store

EVALUATIONS = {"toy": 20, "small": 200, "full": 200}  # that each contestant may spend
SLACK = 1e-6  # score that float32 statistics may cost
EXHAUSTIBLE = 8  # members up to which all norms and centrings are solved, 2 * 2**M of them


class _Fitted(NamedTuple):
    space: Space
    statistics: Statistics
    outcome: Outcome
    building: float  # seconds of building the statistics, part of the whole


def run(size: str) -> list[Result]:
    """One table for each shape of the size."""
    return [_compare(shape, EVALUATIONS[size]) for shape in SHAPES[size]]


def _compare(shape: Shape, evaluations: int) -> Result:
    with generated_store(TOY) as store:  # warms up: imports, thread pools, compiled kernels
        _fit(store)
        with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as folder:
            build(store, store_folds(store), Path(folder), default_kernel(shape.rows, "float32"))
        members, targets = _arrays(store)
        for contestant in CONTESTANTS:
            if contestant.installed:
                contestant.fit(members, targets, 12)  # more than the samplers' random start
    with generated_store(shape) as store:
        seconds, fitted = timed(partial(_fit, store))
        members, targets = _arrays(store)
        fold = fitted.statistics.fold
        ours = score_in_float64(members, targets, fitted.outcome.weighting, fold)
        promised = fitted.outcome.best.value
        check(abs(ours - promised) <= SLACK, f"the search says {promised}, the vectors {ours}")
        lines = [
            Line(name="ours: statistics + search", seconds=seconds, fact=ours),
            Line(name="  of which the statistics", seconds=fitted.building),
        ]
        for contestant in CONTESTANTS:
            if not contestant.installed:
                lines.append(Line(name=contestant.name, absent="not installed"))
                continue
            seconds, chosen = timed(partial(contestant.fit, members, targets, evaluations))
            theirs = score_in_float64(members, targets, _weighting(chosen), fold)
            check(ours >= theirs - SLACK, f"{contestant.name} scores {theirs}, ours {ours}")
            lines.append(Line(name=contestant.name, seconds=seconds, fact=theirs))
        if shape.members <= EXHAUSTIBLE:
            optimum = exhaustive_optimum(fitted.space, fitted.statistics, members, targets)
            check(ours >= optimum - SLACK, f"the optimum over all norms is {optimum}, ours {ours}")
            lines.append(
                Line(name="every norm and centring, solved", absent="untimed", fact=optimum)
            )
    return Result(title=f"fit, {shape}", lines=tuple(lines), fact="score", decimals=7)


def _fit(store: Store) -> _Fitted:
    """Run the default study, from the vectors on disk to the best weighting, without a cache."""
    _, definition = resolve_study("default", members=None, trials=None, seed=None)
    with fresh_cache():
        space = make_space(definition, store)
        building, statistics = timed(lambda: fit_statistics(store, space, jobs=1, progress=None))
        outcome = search(space, statistics, np.arange(len(statistics)), None, record=in_memory())
        return _Fitted(space, statistics, outcome, building)


def _arrays(store: Store) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Members, (M, N, d), and targets, (N, d), in memory."""
    members = [np.asarray(store.member(name).embeddings, np.float32) for name in store.names]
    return np.stack(members), np.array(store.targets())


def _weighting(chosen: Chosen) -> Weighting:
    weights = chosen.weights / chosen.weights.sum()
    return Weighting(
        centred=False,
        alphas=tuple(chosen.unit.astype(float).tolist()),
        weights=(0.0, *weights.tolist()),
    )


def exhaustive_optimum(
    space: Space,
    statistics: Statistics,
    members: NDArray[np.float32],
    targets: NDArray[np.float32],
) -> float:
    """The float64 score of the best combination of norms and centring, each solved exactly."""
    rows, definition = np.arange(len(statistics)), space.definition
    scorer = Scorer(statistics, rows, None, columns=space.columns, bounds=definition.bounds, seed=0)
    flags = itertools.product((0.0, 1.0), repeat=len(space.names))
    candidates = [
        Candidate(centred=centred, alphas=alphas) for alphas in flags for centred in space.centrings
    ]
    scored = (scorer.score([candidate])[0] for candidate in candidates)
    best = max(scored, key=lambda result: result.value)
    return score_in_float64(members, targets, best.weighting, statistics.fold)


def score_in_float64(
    members: NDArray[np.float32],
    targets: NDArray[np.float32],
    weighting: Weighting,
    fold: NDArray[np.int64],
) -> float:
    """The mean cosine of a blend by its formula, without code shared with the fit.

    Args:
        members: (M, N, d), without zero rows.
        targets: (N, d).
        weighting: the weights; the prior of a row is the mean target of the other folds.
        fold: (N,) the evaluation folds.
    """
    unit = targets / np.linalg.norm(targets.astype(np.float64), axis=1, keepdims=True)
    blend = np.empty(unit.shape)
    for number in np.unique(fold):
        prior = unit[fold != number].mean(axis=0)
        blend[fold == number] = weighting.weights[0] * prior / np.linalg.norm(prior)
    for vectors, weight, alpha in zip(
        members, weighting.weights[1:], weighting.alphas, strict=True
    ):
        x = vectors.astype(np.float64)
        if weighting.centred:
            x -= x.mean(axis=0)
        blend += weight * x * np.linalg.norm(x, axis=1, keepdims=True) ** -alpha
    cosines = np.einsum("id,id->i", blend, unit) / np.linalg.norm(blend, axis=1)
    return float(cosines.mean())
