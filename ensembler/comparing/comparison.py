"""Blends side by side on the same held-out rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ensembler.comparing.choice import choose
from ensembler.evaluation.intervals import GroupBootstrap
from ensembler.spec.model import Difference, HeldOut

if TYPE_CHECKING:
    from ensembler.comparing.estimate import Estimate


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
        per_image: seconds that its members take for an image together; None where unknown.
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
        rows: of any weight.
        groups: among them.
        folds: of each repeat.
        repeats: how many foldings.
    """

    blends: Mapping[str, Standing]
    best: str
    chosen: str
    rows: int
    groups: int
    folds: int
    repeats: int


def compare(
    estimates: Mapping[str, Estimate],
    groups: NDArray[np.str_],
    weight: NDArray[np.float64],
    *,
    folds: int,
    repeats: int,
    seconds_per_image: Mapping[str, float | None],
    seed: int,
) -> Comparison:
    """Score blends on the same rows, with paired intervals.

    Args:
        estimates: by name.
        groups: (rows,) text.
        weight: (rows,) float64 row weights.
        folds: of each repeat.
        repeats: how many.
        seconds_per_image: of each member.
        seed: of the bootstrap.
    """
    bootstrap = GroupBootstrap(groups, weight, seed)
    cosines = {name: estimate.cosines for name, estimate in estimates.items()}
    scores = {name: bootstrap.mean(values) for name, values in cosines.items()}
    standings = {
        name: _standing(name, estimates[name], cosines, bootstrap, seconds_per_image)
        for name in sorted(scores, key=lambda name: -scores[name])
    }
    return Comparison(
        blends=standings,
        best=next(iter(standings)),
        chosen=choose(cosines, {name: one.blender for name, one in estimates.items()}, bootstrap),
        rows=int(np.count_nonzero(weight)),
        groups=len(np.unique(groups[weight > 0.0])),
        folds=folds,
        repeats=repeats,
    )


def _standing(
    name: str,
    estimate: Estimate,
    cosines: Mapping[str, NDArray[np.float64]],
    bootstrap: GroupBootstrap,
    seconds_per_image: Mapping[str, float | None],
) -> Standing:
    own = cosines[name]
    score = bootstrap.mean(own)
    taken = [seconds_per_image.get(member) for member in estimate.members]
    return Standing(
        held_out=HeldOut(
            score=score,
            interval=bootstrap.interval(own),
            versus={
                other: Difference(
                    difference=bootstrap.mean(own - values),
                    interval=bootstrap.interval(own - values),
                )
                for other, values in cosines.items()
                if other != name
            },
        ),
        score=estimate.fitted.objective,
        optimism=estimate.fitted.objective - score,
        members=estimate.members,
        seconds=estimate.seconds,
        status=estimate.fitted.status,
        per_image=None if None in taken else float(sum(t for t in taken if t is not None)),
    )
