"""Stackers that people combine embeddings with today, fitted on some rows, applied to others.

Scikit-learn's stackers get members at unit length, with zeros for missing rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.climbing import CLIMBERS
from benchmarks.contestants import CONTESTANTS, Array32, Contestant, mean_cosine_of, unit
from benchmarks.environment import installed

ALPHAS = tuple(10.0 ** np.arange(-1, 4))  # penalties of a ridge on unit rows
INNER = 4  # folds that choose among penalties
KERNEL_ROWS = 5_000  # a grid search over kernels of more rows takes hours

Apply = Callable[[Array32], NDArray[np.floating]]  # members (M, n, d) → predictions (n, d)


class Rows(NamedTuple):
    """The rows that a stacker is fitted on.

    Attributes:
        members: (M, n, d), with zeros for missing rows.
        targets: (n, d) of unit length.
        groups: (n,) text.
    """

    members: Array32
    targets: Array32
    groups: NDArray[np.str_]


class Stacker(NamedTuple):
    """A way to combine members.

    Attributes:
        name: the name in the table.
        fit: a function of training rows that returns the function to apply to others.
        needs: the package that it needs.
        most_rows: the most rows that it can take; None without a limit.
    """

    name: str
    fit: Callable[[Rows], Apply]
    needs: str = "scikit-learn"
    most_rows: int | None = None

    def why_not(self, rows: int) -> str:
        """The reason why it cannot run on so many rows, in a word or two; "" where it can."""
        if not installed(self.needs):
            return "absent"
        return "too large" if self.most_rows is not None and rows > self.most_rows else ""


def stackers(evaluations: int) -> tuple[Stacker, ...]:
    """All stackers: searches of weights, then models.

    Args:
        evaluations: number of evaluations for a search of weights without an end of its own.
    """
    searches = (
        Stacker(contestant.name, partial(_search, contestant, evaluations), contestant.needs)
        for contestant in (*CONTESTANTS, *CLIMBERS)
        if contestant.needs != "scipy"  # the others show what weights alone can reach
    )
    return (*searches, *MODELS)


def _search(contestant: Contestant, evaluations: int, rows: Rows) -> Apply:
    weights, scaled = contestant.fit(rows.members, rows.targets, evaluations)

    def apply(members: Array32) -> NDArray[np.floating]:
        chosen = np.where(scaled[:, None, None], unit(members), members)
        return np.asarray(np.tensordot(weights, chosen, axes=1))

    return apply


def _concatenate(members: Array32) -> Array32:
    """The members of each row side by side, (n, M * d)."""
    return unit(members).transpose(1, 0, 2).reshape(members.shape[1], -1)


def _model(make: Callable[[Rows], Any], rows: Rows) -> Apply:
    """Fit a model with scikit-learn's methods on the members side by side."""
    fitted = make(rows).fit(_concatenate(rows.members), rows.targets)
    return lambda members: np.asarray(fitted.predict(_concatenate(members)))


def _ridge(_: Rows) -> Any:  # noqa: ANN401 - as are all below: scikit-learn is untyped
    from sklearn.linear_model import Ridge

    return Ridge()


def _ridge_cv(_: Rows) -> Any:  # noqa: ANN401
    """Ridge with leave-one-out validation: each row alone, though others of its group stay."""
    from sklearn.linear_model import RidgeCV

    return RidgeCV(ALPHAS)


def _ridge_by_group(rows: Rows) -> Any:  # noqa: ANN401
    from sklearn.linear_model import Ridge

    return _grid_search(Ridge(), {"alpha": ALPHAS}, rows)


def _kernel_ridge(rows: Rows) -> Any:  # noqa: ANN401
    from sklearn.kernel_ridge import KernelRidge

    widths = [scale / len(rows.members) for scale in (0.1, 0.3, 1.0)]  # distances grow with M
    return _grid_search(KernelRidge(kernel="rbf"), {"alpha": ALPHAS, "gamma": widths}, rows)


def _grid_search(model: Any, grid: dict[str, Any], rows: Rows) -> Any:  # noqa: ANN401
    """A grid search by mean cosine whose folds split no group."""
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import GridSearchCV, GroupKFold

    def score(truth: Array32, predicted: Array32) -> float:
        return mean_cosine_of(predicted, truth)

    splits = GroupKFold(INNER).split(rows.targets, groups=rows.groups)
    return GridSearchCV(model, grid, scoring=make_scorer(score), cv=list(splits))


def _by_component(rows: Rows) -> Apply:
    """Predict each component from the members' same component, as a StackingRegressor does."""
    from sklearn.linear_model import RidgeCV

    components = unit(rows.members).transpose(2, 1, 0)
    # RidgeCV is its default final estimator.
    fitted = [RidgeCV().fit(x, y) for x, y in zip(components, rows.targets.T, strict=True)]

    def apply(members: Array32) -> NDArray[np.floating]:
        columns = zip(fitted, unit(members).transpose(2, 1, 0), strict=True)
        return np.stack([model.predict(x) for model, x in columns], axis=1)

    return apply


MODELS = (
    Stacker("sklearn, by component", _by_component),
    Stacker("sklearn Ridge", partial(_model, _ridge)),
    Stacker("sklearn RidgeCV", partial(_model, _ridge_cv)),
    Stacker("sklearn Ridge, by group", partial(_model, _ridge_by_group)),
    Stacker(
        "sklearn KernelRidge, by group",
        partial(_model, _kernel_ridge),
        most_rows=KERNEL_ROWS,
    ),
)
