"""Hill climbing as notebooks write it, and the package made of that loop."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
from numpy.typing import NDArray

from benchmarks.contestants import (
    Array32,
    Contestant,
    Found,
    mean_cosine_of,
    of_unit_members,
    unit,
)

SHARES = np.arange(0.01, 0.51, 0.01, dtype=np.float32)  # that a member may take of the blend


def _hill_climbing(members: Array32, targets: Array32, _: int) -> Found:
    """From the best member on, mix in the member and the share that lift the score most."""
    rows = unit(members)
    alone = [mean_cosine_of(vectors, targets) for vectors in rows]
    best = int(np.argmax(alone))
    weights, blend, value = np.eye(len(rows))[best], rows[best], alone[best]
    left = set(range(len(rows))) - {best}
    while left:
        found, m, share = max(
            (mean_cosine_of((1 - share) * blend + share * rows[m], targets), m, share)
            for m in left
            for share in SHARES
        )
        if found <= value:
            break
        weights *= 1 - share
        weights[m] = share
        blend, value = (1 - share) * blend + share * rows[m], found
        left.remove(m)
    return of_unit_members(weights)


def _hillclimbers(members: Array32, targets: Array32, _: int) -> Found:
    """The package blends columns of numbers: vectors go in flattened, and its metric folds them.

    It returns test predictions only; those of an identity matrix are the weights.
    """
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's source, when it is compiled
        from hillclimbers import climb_hill, partial

    def mean_cosine(_: pd.Series[float], blend: pd.Series[float]) -> float:
        return mean_cosine_of(blend.to_numpy().reshape(targets.shape), targets)

    names = [f"m{m}" for m in range(len(members))]
    flat = unit(members).reshape(len(members), -1).T
    with contextlib.redirect_stdout(io.StringIO()):  # it tells its progress
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
