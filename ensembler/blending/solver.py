"""The exact solver: sequential quadratic steps on the mean cosine.

Each step maximises the quadratic model of the objective, its Hessian made negative definite by the
magnitudes of its eigenvalues (Nocedal & Wright, Numerical Optimization, 2nd ed., section 3.4),
over nonnegative weights: a nonnegative least-squares problem. About five passes over the
statistics suffice. The objective ignores the weights' common scale; a penalty on moving along them
takes that direction out of the model. It is not concave, hence several starts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from ensembler.blending.objective import expand, mean_gram, scores
from ensembler.blending.problem import Rows

Bounds = Literal["simplex", "nonnegative", "free"]

GAIN = 1e-11  # a step that promises less than this has converged
NOISE = 1e-8  # what float32 statistics may hide: a promise below it that fails has converged too
DISAGREE = 1e-6  # starts whose optima differ by more call for RANDOM_STARTS
OPPOSED = -0.05  # so do two members with a mean cosine below this: several optima are likely
RANDOM_STARTS = 20
TIE = 5e-8  # optima this close are equal, as far as float32 can tell: fewer columns are taken
MAX_STEPS = 60
SHORTEST_STEP = 2.0**-12  # a line search that has come this far down will not succeed
FLATTEST = 1e-7  # the smallest curvature of the model, relative to the largest


class Status(Enum):
    """How a solution ended; each value is its sentence."""

    CONVERGED = "no step promises a gain"
    MAX_ITERATIONS = "the steps allowed ran out before the gain vanished"
    DID_NOT_MOVE = "a gain was promised, but no step along it raised the score"
    NON_FINITE = "the objective is not a finite number"


GIVEN = "given"  # in place of a status where nothing was solved
UNREMARKABLE = (Status.CONVERGED.name, GIVEN)  # a fit that ends so calls for no remark


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The best weights found.

    Attributes:
        weights: (K,) float64, of the prior and the members, scaled as the bounds say.
        scaled: (K,) float64, the same in units of the columns' scale, magnitudes summing to 1.
        value: mean cosine on the problem's rows.
        status: how the ascent that got highest ended.
        evaluations: passes over the statistics, all starts together.
    """

    weights: NDArray[np.float64]
    scaled: NDArray[np.float64]
    value: float
    status: Status
    evaluations: int


@dataclass(frozen=True, slots=True)
class _Ascent:
    scaled: NDArray[np.float64]
    value: float
    status: Status
    evaluations: int


def solve(
    problem: Rows,
    columns: NDArray[np.bool_],
    *,
    bounds: Bounds = "simplex",
    seed: int = 0,
    warm: NDArray[np.float64] | None = None,
    trust: float = 0.0,
) -> Solution:
    """Maximise the mean cosine over the weights of some columns.

    Without `warm` never below the uniform blend of the members (by more than TIE) or the best
    single column on the same rows; with it, never below it.

    Args:
        problem: rows, centring and norms.
        columns: (K,) which columns may have weight; at least one.
        bounds: `simplex` (nonnegative, sum 1), `nonnegative` (in 0..1, the largest 1) or `free`
            (in -1..1, the largest magnitude 1). Cosine ignores scale, so the first two describe the
            same blends.
        seed: of the random starts.
        warm: (K,) weights of a similar problem, in units of the columns' scale: the ascent starts
            there and nowhere else.
        trust: a step from `warm` that promises less is the last, and is taken without looking
            where it led; what is left undone is of second order.

    Returns:
        The best found; of those that tie, the one with the fewest columns.

    Raises:
        ValueError: no column is allowed.
    """
    if not columns.any():
        raise ValueError("at least one column must be allowed")
    start = None if warm is None else np.where(columns, warm, 0.0)
    if start is not None and start.any():
        ascents = [_ascend(problem, start / np.abs(start).sum(), columns, bounds, trust)]
    else:
        ascents = _from_all_starts(problem, columns, bounds, seed)
    best = max(a.value for a in ascents)
    chosen = min(
        (a for a in ascents if a.value >= best - TIE or not np.isfinite(best)),
        key=lambda a: (np.count_nonzero(a.scaled), -a.value),
    )
    return Solution(
        weights=normalise(chosen.scaled / problem.scale, bounds),
        scaled=chosen.scaled,
        value=chosen.value,
        status=max(ascents, key=lambda a: a.value).status,
        evaluations=sum(a.evaluations for a in ascents),
    )


def _from_all_starts(
    problem: Rows, columns: NDArray[np.bool_], bounds: Bounds, seed: int
) -> list[_Ascent]:
    """Where several starts led, and the plain blends, which nothing chosen may fall below."""
    points = _plain_points(problem, columns)
    values = scores(problem, points)
    finite = bool(np.isfinite(values).all())
    ascents, evaluations = list[_Ascent](), 1
    if finite and columns.sum() > 1:
        single = points[1 + int(values[1:].argmax())]
        starts = [_mean_gram_optimum(problem, columns), points[0], single]
        if bounds == "free":  # never below what nonnegative weights reach
            nonnegative = solve(problem, columns, bounds="nonnegative", seed=seed)
            starts.append(nonnegative.scaled)
            evaluations += nonnegative.evaluations
        ascents += [_ascend(problem, start, columns, bounds) for start in starts]
        found = [ascent.value for ascent in ascents]
        if max(found) - min(found) > DISAGREE or _opposed(problem, columns):
            ascents += [
                _ascend(problem, start, columns, bounds)
                for start in _random_starts(columns, bounds, seed)
            ]
    status = Status.CONVERGED if finite else Status.NON_FINITE
    if ascents:
        status = max(ascents, key=lambda a: a.value).status
    plain = [_Ascent(p, v, status, 0) for p, v in zip(points, values.tolist(), strict=True)]
    plain[0] = replace(plain[0], evaluations=evaluations)
    return ascents + plain


def normalise(weights: NDArray[np.float64], bounds: Bounds) -> NDArray[np.float64]:
    """Scale weights as the bounds say: sum 1 on the simplex, else largest magnitude 1.

    Args:
        weights: (K,) float64, not all zero.
        bounds: as in `solve`.
    """
    size = weights.sum() if bounds == "simplex" else np.abs(weights).max()
    return np.asarray(weights / size)


def _plain_points(problem: Rows, columns: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(1 + k, K) the uniform blend of the allowed members, then each allowed column alone."""
    members = columns.copy()
    members[0] = False
    uniform = (members if members.any() else columns) * problem.scale
    return np.vstack([uniform / uniform.sum(), np.eye(problem.columns)[columns]])


def _random_starts(columns: NDArray[np.bool_], bounds: Bounds, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    starts = np.zeros((RANDOM_STARTS, len(columns)))
    starts[:, columns] = rng.dirichlet(np.ones(int(columns.sum())), size=RANDOM_STARTS)
    if bounds == "free":
        starts *= rng.choice([-1.0, 1.0], size=starts.shape)
    return starts


def _mean_gram_optimum(problem: Rows, columns: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The nonnegative maximum of `c̄·u / sqrt(u·Ḡ u)`: one least-squares problem, no iteration."""
    gram, cross = mean_gram(problem)
    start = np.zeros(len(cross))
    inner = gram[np.ix_(columns, columns)]
    start[columns] = _nonnegative_minimum(inner + 1e-6 * np.eye(len(inner)), cross[columns])
    if not start.any():  # every column points away from the targets on average
        start[columns] = 1.0
    return np.asarray(start / start.sum())


def _opposed(problem: Rows, columns: NDArray[np.bool_]) -> bool:
    gram, _ = mean_gram(problem)
    members = np.flatnonzero(columns[1:]) + 1
    return bool((gram[np.ix_(members, members)] < OPPOSED).any())


def _ascend(
    problem: Rows,
    start: NDArray[np.float64],
    columns: NDArray[np.bool_],
    bounds: Bounds,
    trust: float = 0.0,
) -> _Ascent:
    """Sequential quadratic steps from one start."""
    here, at = start, expand(problem, start)
    status, evaluations = Status.MAX_ITERATIONS, 1
    for _ in range(MAX_STEPS):
        if not (np.isfinite(at.value) and np.isfinite(at.hessian).all()):
            status = Status.NON_FINITE
            break
        target, promise = _model_maximum(at.gradient, at.hessian, here, columns, bounds)
        if promise <= max(GAIN, trust):
            status = Status.CONVERGED
            if promise <= trust:
                at = at._replace(value=at.value + promise)
                here = target / np.abs(target).sum()
            break
        step, moved = 1.0, False
        while step >= SHORTEST_STEP and not moved:
            there = here + step * (target - here)
            there /= np.abs(there).sum()
            ahead = expand(problem, there)
            evaluations += 1
            moved = ahead.value > at.value + 1e-4 * step * promise
            if moved:
                here, at = there, ahead
            elif promise < NOISE:
                break
            step *= 0.5
        if not moved:
            status = Status.CONVERGED if promise < NOISE else Status.DID_NOT_MOVE
            break
    return _Ascent(here, at.value, status, evaluations)


def _model_maximum(
    gradient: NDArray[np.float64],
    hessian: NDArray[np.float64],
    here: NDArray[np.float64],
    columns: NDArray[np.bool_],
    bounds: Bounds,
) -> tuple[NDArray[np.float64], float]:
    """The maximum of the quadratic model over the allowed weights, and the gain it promises."""
    u, g = here[columns], gradient[columns]
    values, vectors = np.linalg.eigh(-hessian[np.ix_(columns, columns)])
    largest = max(np.abs(values).max(), 1e-30)
    curvature = (vectors * np.maximum(np.abs(values), FLATTEST * largest)) @ vectors.T
    along = u / np.linalg.norm(u)
    model = curvature + largest * np.outer(along, along)
    linear = g + model @ u
    if bounds == "free":
        solved = np.linalg.solve(model, linear)
    else:
        solved = _nonnegative_minimum(model, linear)
    step = solved - u
    target = here.copy()
    target[columns] = solved
    return target, float(g @ step - 0.5 * step @ model @ step)


def _nonnegative_minimum(
    quadratic: NDArray[np.float64], linear: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The z >= 0 that minimises `z·Q z / 2 - l·z`, Q positive definite."""
    factor = np.linalg.cholesky(quadratic)
    right = solve_triangular(factor, linear, lower=True)
    return np.asarray(nnls(factor.T, right, maxiter=30 * len(linear))[0])
