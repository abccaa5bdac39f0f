"""Hill climbing as notebooks write it, and the package with the same loop."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
from numpy.typing import NDArray

from benchmarks.contestants import (
    Array32,
    Chosen,
    Contestant,
    mean_cosine_of,
    of_unit_members,
    unit,
)

SHARES = np.arange(0.01, 0.51, 0.01, dtype=np.float32)  # that a member may take of the blend


def _hill_climbing(members: Array32, targets: Array32, _: int) -> Chosen:
    """Begin with the best member; mix in the member and share that raise the score most."""
    rows = unit(members)
    alone = [mean_cosine_of(vectors, targets) for vectors in rows]
    best = int(np.argmax(alone))
    weights, blend, value = np.eye(len(rows))[best], rows[best], alone[best]
    untried = set(range(len(rows))) - {best}
    while untried:
        score, m, share = max(
            (mean_cosine_of((1 - share) * blend + share * rows[m], targets), m, share)
            for m in untried
            for share in SHARES
        )
        if score <= value:
            break
        weights *= 1 - share
        weights[m] = share
        blend, value = (1 - share) * blend + share * rows[m], score
        untried.remove(m)
    return of_unit_members(weights)


def _hillclimbers(members: Array32, targets: Array32, _: int) -> Chosen:
    """Fit with the package, which blends columns of numbers: vectors are flattened for it.

    It returns only test predictions; those for an identity matrix are the weights.
    """
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of compiling the package's source
        from hillclimbers import climb_hill, partial

    def mean_cosine(_: pd.Series[float], blend: pd.Series[float]) -> float:
        return mean_cosine_of(blend.to_numpy().reshape(targets.shape), targets)

    names = [f"m{m}" for m in range(len(members))]
    flat = unit(members).reshape(len(members), -1).T
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        weights: NDArray[np.float64] = climb_hill(
            train=pd.DataFrame({"target": targets.ravel()}),
            oof_pred_df=pd.DataFrame(flat, columns=names),
            test_pred_df=pd.DataFrame(np.eye(len(members)), columns=names),
            target="target",
            objective="maximize",
            eval_metric=partial(mean_cosine),
            plot_hill=False,
        )
    return of_unit_members(weights)


CLIMBERS = (
    Contestant("hill climbing", _hill_climbing),
    Contestant("hillclimbers", _hillclimbers, "hillclimbers"),
)
