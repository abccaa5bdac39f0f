"""Weights for the worst of several parts of the rows.

Maximises the soft minimum of the parts' mean cosines,

    F(u) = -tau · log( mean_s exp(-J_s(u) / tau) ),

which lies between the worst part's mean and that plus `tau · log S`, and is smooth: its gradient is
that of a weighted mean in which the parts that do badly count most (log-sum-exp smoothing of a
minimax, Nesterov, Smooth minimization of non-smooth functions, 2005, section 4). Sequential least
squares (Kraft 1988, SciPy's SLSQP) climbs it within bounds, with exact gradients; scale is of no
account, so the weights need no sum. A low `tau` is reached from higher ones, each starting where
the last ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from ensembler.blending.objective import expand
from ensembler.blending.problem import Rows
from ensembler.blending.solver import Bounds, Status

GAIN = 1e-9  # a step that gains less ends the ascent: float32 statistics are not finer
MAX_STEPS = 200
COOLING = 10.0  # between a temperature and the next
LINE_SEARCH_FAILED = 8  # SciPy's code: no step gains any more, which is noise here
STEPS_RAN_OUT = 9


class WorstPart(NamedTuple):
    """The best weights found.

    Attributes:
        scaled: (K,) float64, in units of the columns' scale, magnitudes summing to 1.
        value: the soft minimum.
        status: how the last ascent ended.
        evaluations: passes over the rows.
    """

    scaled: NDArray[np.float64]
    value: float
    status: Status
    evaluations: int


def maximise_worst(
    parts: Sequence[Rows],
    scale: NDArray[np.float64],
    start: NDArray[np.float64],
    columns: NDArray[np.bool_],
    *,
    temperature: float,
    bounds: Bounds = "simplex",
) -> WorstPart:
    """Maximise the soft minimum of the parts' mean cosines; never below where it starts.

    Args:
        parts: S disjoint sets of rows of the same K columns.
        scale: (K,) float64, the unit of each column's weight; parts may have units of their own.
        start: (K,) float64 in these units, not all zero.
        columns: (K,) which columns may have weight.
        temperature: tau, positive: how much more a part may score until it counts e times less.
        bounds: `free` allows negative weights.
    """
    units = [part.scale / scale for part in parts]
    evaluations = 0

    def soft_minimum(free: NDArray[np.float64], tau: float) -> tuple[float, NDArray[np.float64]]:
        nonlocal evaluations
        evaluations += 1
        weights = np.zeros(len(scale))
        weights[columns] = free
        found = [expand(part, weights * unit) for part, unit in zip(parts, units, strict=True)]
        means = np.array([at.value for at in found])
        gradients = np.stack([at.gradient * unit for at, unit in zip(found, units, strict=True)])
        value = -tau * (logsumexp(-means / tau) - np.log(len(parts)))
        return -float(value), -(softmax(-means / tau) @ gradients)[columns]

    here = start[columns] / np.abs(start[columns]).sum()
    best, best_value = here, soft_minimum(here, temperature)[0]
    status = Status.CONVERGED
    for tau in _cooling(temperature):
        ascent = minimize(
            soft_minimum, here, args=(tau,), method="SLSQP", jac=True,
            bounds=[(-1.0 if bounds == "free" else 0.0, 1.0)] * len(here),
            options={"ftol": GAIN, "maxiter": MAX_STEPS},
        )  # fmt: skip
        here = ascent.x / np.abs(ascent.x).sum()
        status = _status(ascent.status)
    value = soft_minimum(here, temperature)[0]
    if value < best_value:
        best, best_value = here, value
    scaled = np.zeros(len(scale))
    scaled[columns] = best
    return WorstPart(scaled, -best_value, status, evaluations)


def _cooling(temperature: float) -> list[float]:
    """Temperatures from one at which all parts count down to the one that is asked for."""
    found = [temperature]
    while found[-1] * COOLING <= 1.0:
        found.append(found[-1] * COOLING)
    return found[::-1]


def _status(code: int) -> Status:
    if code in (0, LINE_SEARCH_FAILED):
        return Status.CONVERGED
    return Status.MAX_ITERATIONS if code == STEPS_RAN_OUT else Status.DID_NOT_MOVE
