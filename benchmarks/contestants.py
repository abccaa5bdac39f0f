"""The ways in which people fit blends today, as they write them: on arrays, in float32.

Where a contestant's usual code is needlessly slow, it is improved here: the blend is one
matrix-vector product, and contestants that seek only weights are given unit-length rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.environment import installed
from ensembler.search.quiet import quiet_optuna

if TYPE_CHECKING:
    import optuna

ROUNDS = 50  # of ensemble selection, the most that our own greedy baseline takes

Array32 = NDArray[np.float32]


class Chosen(NamedTuple):
    """The blend that a contestant chose.

    Attributes:
        weights: (M,) nonnegative, any scale.
        unit: (M,) bool, which members are scaled to unit length first.
    """

    weights: NDArray[np.floating]
    unit: NDArray[np.bool_]


class Contestant(NamedTuple):
    """A way to fit a blend.

    Attributes:
        name: the name in the table.
        fit: a function of members (M, N, d), targets (N, d) and the number of evaluations allowed.
        needs: the package that it needs.
    """

    name: str
    fit: Callable[[Array32, Array32, int], Chosen]
    needs: str = "numpy"

    @property
    def installed(self) -> bool:
        """Whether the package is installed."""
        return installed(self.needs)


def _mean_cosine(members: Array32, targets: Array32, weights: NDArray[np.floating]) -> float:
    blend = (weights.astype(np.float32) @ members.reshape(len(members), -1)).reshape(targets.shape)
    return mean_cosine_of(blend, targets)


def mean_cosine_of(blend: Array32, targets: Array32) -> float:
    """The mean cosine of (N, d) rows as people compute it, in float32; targets are unit vectors."""
    length = np.maximum(np.linalg.norm(blend, axis=1), np.float32(1e-12))
    return float((np.einsum("id,id->i", blend, targets) / length).mean())


def unit(vectors: Array32) -> Array32:
    """Scale vectors along the last axis to unit length; zero vectors, of missing rows, stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0.0, np.float32(1.0), lengths))


def of_unit_members(weights: NDArray[np.floating]) -> Chosen:
    """The blend of weights that were fitted on members at unit length."""
    return Chosen(weights, np.ones(len(weights), dtype=bool))


def _best_params(
    objective: Callable[[optuna.Trial], float], trials: int, sampler: optuna.samplers.BaseSampler
) -> dict[str, float]:
    import optuna

    with quiet_optuna():
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.optimize(objective, n_trials=trials)
    return study.best_params


def _optuna_weights(
    members: Array32, targets: Array32, trials: int, sampler: optuna.samplers.BaseSampler
) -> Chosen:
    rows = unit(members)

    def objective(trial: optuna.Trial) -> float:
        weights = [trial.suggest_float(f"w{m}", 0.0, 1.0) for m in range(len(members))]
        return _mean_cosine(rows, targets, np.array(weights))

    best = _best_params(objective, trials, sampler)
    return of_unit_members(np.array([best[f"w{m}"] for m in range(len(members))]))


def _tpe(members: Array32, targets: Array32, trials: int) -> Chosen:
    import optuna

    return _optuna_weights(members, targets, trials, optuna.samplers.TPESampler(seed=0))


def _cma_es(members: Array32, targets: Array32, trials: int) -> Chosen:
    import optuna

    return _optuna_weights(members, targets, trials, optuna.samplers.CmaEsSampler(seed=0))


def _tpe_with_norms(members: Array32, targets: Array32, trials: int) -> Chosen:
    """Search weights and norms: the members are scaled within the objective, in each trial."""
    import optuna

    def objective(trial: optuna.Trial) -> float:
        blend = np.zeros_like(targets)
        for m, vectors in enumerate(members):
            weight = np.float32(trial.suggest_float(f"w{m}", 0.0, 1.0))
            if trial.suggest_categorical(f"unit{m}", [False, True]):
                blend += weight * unit(vectors)
            else:
                blend += weight * vectors
        return mean_cosine_of(blend, targets)

    best = _best_params(objective, trials, optuna.samplers.TPESampler(seed=0))
    return Chosen(
        np.array([best[f"w{m}"] for m in range(len(members))]),
        np.array([best[f"unit{m}"] for m in range(len(members))]),
    )


def _scipy(method: str, budget: str) -> Callable[[Array32, Array32, int], Chosen]:
    """A fit by a method of SciPy, whose option `budget` bounds its work, without gradients."""

    def fit(members: Array32, targets: Array32, evaluations: int) -> Chosen:
        from scipy.optimize import minimize

        rows = unit(members)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # SLSQP leaves its bounds by rounding
            solution = minimize(
                lambda weights: -_mean_cosine(rows, targets, weights),
                np.full(len(members), 1.0 / len(members)),
                method=method,
                bounds=[(0.0, 1.0)] * len(members),
                options={budget: evaluations},
            )
        return of_unit_members(np.maximum(solution.x, 0.0))

    return fit


def _greedy(members: Array32, targets: Array32, _: int) -> Chosen:
    """Greedy selection (Caruana et al., ICML 2004): add the member that raises the score most."""
    rows = unit(members)
    total, taken = np.zeros_like(targets), np.zeros(len(members))
    best, best_value = taken, -np.inf
    for _ in range(ROUNDS):
        values = [mean_cosine_of(total + vectors, targets) for vectors in rows]
        choice = int(np.argmax(values))
        total += rows[choice]
        taken[choice] += 1.0
        if values[choice] > best_value:
            best, best_value = taken.copy(), values[choice]
    return of_unit_members(best)


def _amltk(members: Array32, targets: Array32, _: int) -> Chosen:
    from amltk.ensembling.weighted_ensemble_caruana import weighted_ensemble_caruana

    rows = unit(members)
    shares, _, _ = weighted_ensemble_caruana(
        model_predictions=dict(enumerate(rows)),
        targets=targets,
        size=ROUNDS,
        metric=lambda truth, blend: mean_cosine_of(blend, truth),
        select=max,
        seed=0,
    )
    return of_unit_members(np.array([shares.get(m, 0.0) for m in range(len(members))]))


def _autogluon(members: Array32, targets: Array32, _: int) -> Chosen:
    from autogluon.core.metrics import make_scorer
    from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

    def score(truth: Array32, blend: Array32) -> float:
        return mean_cosine_of(blend, truth)

    # Several numbers per row pass its checks only as probabilities.
    metric = make_scorer("mean_cosine", score, needs_proba=True)
    selection = EnsembleSelection(ensemble_size=ROUNDS, problem_type="regression", metric=metric)
    selection.fit(list(unit(members)), targets)
    return of_unit_members(np.asarray(selection.weights_))


CONTESTANTS = (
    Contestant("Optuna TPE, weights", _tpe, "optuna"),
    Contestant("Optuna TPE, weights + norms", _tpe_with_norms, "optuna"),
    Contestant("Optuna CMA-ES, weights", _cma_es, "cmaes"),
    Contestant("SciPy Nelder-Mead", _scipy("Nelder-Mead", "maxfev"), "scipy"),
    Contestant("SciPy SLSQP", _scipy("SLSQP", "maxiter"), "scipy"),
    Contestant("SciPy L-BFGS-B", _scipy("L-BFGS-B", "maxfun"), "scipy"),
    Contestant("greedy selection (Caruana)", _greedy),
    Contestant("amltk ensemble selection", _amltk, "amltk"),
    Contestant("autogluon ensemble selection", _autogluon, "autogluon.core"),
)
