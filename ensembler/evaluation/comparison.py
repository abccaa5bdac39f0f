"""Blends side by side on the same held-out rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ensembler.evaluation.choice import choice_held_out, choose
from ensembler.fitting.honest import held_out_score
from ensembler.scoring.intervals import GroupBootstrap
from ensembler.spec.model import HeldOut
from ensembler.store.reader import Store

if TYPE_CHECKING:
    from ensembler.evaluation.estimate import Estimate


@dataclass(frozen=True, eq=False, kw_only=True)
class Standing:
    """One blend among others.

    Attributes:
        held_out: its honest score, and its lead over each of the others.
        score: mean cosine on the rows that it was fitted on.
        optimism: in-sample minus held out: what it flatters itself by.
        members: those it blends.
        seconds: of its fit on all rows.
        status: how that ended.
        per_image: seconds per image that its members take together; None where unknown.
    """

    held_out: HeldOut
    score: float
    optimism: float
    members: tuple[str, ...]
    seconds: float
    status: str
    per_image: float | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """All blends of an evaluation, best first.

    Attributes:
        blends: name → standing.
        best: the highest held-out score.
        chosen: the simplest within one standard error of it.
        choice: what the choice is worth when it is made without each fold's scores, and its lead
            over what the chosen blend scores: what the choice flatters that by.
        rows: of any weight.
        groups: among them.
        folds: of each repeat.
        repeats: how many foldings.
    """

    blends: Mapping[str, Standing]
    best: str
    chosen: str
    choice: HeldOut
    rows: int
    groups: int
    folds: int
    repeats: int


def compare(
    estimates: Mapping[str, Estimate],
    store: Store,
    weight: NDArray[np.float64],
    foldings: Sequence[NDArray[np.int64]],
    seed: int,
) -> Comparison:
    """Score blends on the same rows, with paired intervals.

    Args:
        estimates: by name.
        store: whose rows they are.
        weight: (rows,) float64 row weights.
        foldings: of each repeat, (rows,) int64.
        seed: of the bootstrap.
    """
    groups = store.samples.group
    bootstrap = GroupBootstrap(groups, weight, seed)
    cosines = {name: estimate.cosines for name, estimate in estimates.items()}
    blenders = {name: estimate.blender for name, estimate in estimates.items()}
    scores = {name: bootstrap.mean(values) for name, values in cosines.items()}
    standings = {
        name: _standing(name, estimates[name], cosines, bootstrap, store)
        for name in sorted(scores, key=lambda name: -scores[name])
    }
    chosen = choose(cosines, blenders, bootstrap)
    repeated = choice_held_out(cosines, blenders, groups, weight, foldings, seed)
    return Comparison(
        blends=standings,
        best=next(iter(standings)),
        chosen=chosen,
        choice=held_out_score(repeated, {chosen: cosines[chosen]}, bootstrap),
        rows=int(np.count_nonzero(weight)),
        groups=len(np.unique(groups[weight > 0.0])),
        folds=int(foldings[0].max()) + 1,
        repeats=len(foldings),
    )


def _standing(
    name: str,
    estimate: Estimate,
    cosines: Mapping[str, NDArray[np.float64]],
    bootstrap: GroupBootstrap,
    store: Store,
) -> Standing:
    others = {other: values for other, values in cosines.items() if other != name}
    held_out = held_out_score(cosines[name], others, bootstrap)
    fitted = estimate.fitted
    records = {record.name: record for record in store.manifest.members}
    taken = [records[member].origin.seconds_per_image for member in fitted.members]
    return Standing(
        held_out=held_out,
        score=fitted.objective,
        optimism=fitted.objective - held_out.score,
        members=fitted.members,
        seconds=fitted.seconds,
        status=fitted.status,
        per_image=None if None in taken else float(sum(t for t in taken if t is not None)),
    )
