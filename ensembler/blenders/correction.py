"""What two blenders share that correct a base by what it leaves over: how they fit and refit.

The base's unit rows, scaled, and a regularised correction add up; its strength is chosen by inner
folds, on which the base is refitted too. The base as it is stands first among the candidates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import FittedBlend
from ensembler.blenders.data import Aside, Data
from ensembler.blenders.leftover import Leftover, leftover
from ensembler.blenders.strength import choose_strength
from ensembler.blends.contract import Blend
from ensembler.blends.linear import PRIOR_ALONE
from ensembler.errors import InputError
from ensembler.metrics import unit_rows

SILENT = ("CONVERGED", "given")  # statuses that call for no remark


class Products(NamedTuple):
    """What several solutions add to some rows.

    Attributes:
        rows: (n,) int64, positions.
        added: for each solution (n, d).
    """

    rows: NDArray[np.int64]
    added: Sequence[NDArray[np.floating]]


class Equations(Protocol):
    """What is solved for a correction."""

    def solve(
        self, left: Leftover, strengths: Sequence[float], *, rough: bool
    ) -> list[NDArray[np.floating]]:
        """The solution for each strength, fitted on the training rows.

        Args:
            left: what is fitted.
            strengths: of the penalty, in units of row weights.
            rough: single precision will do: solutions are compared, and none is kept.
        """

    def products(
        self, left: Leftover, solutions: Sequence[NDArray[np.floating]], rows: NDArray[np.int64]
    ) -> Iterator[Products]:
        """What solutions add to some rows, whose base is known, a block at a time."""


class Method(Protocol):
    """A way to correct."""

    @property
    def status(self) -> str:
        """How a fit ends whose base calls for no remark."""

    def equations(self, left: Leftover) -> Equations:
        """What is solved for a base and what it leaves over."""

    def blend(self, left: Leftover, base: Blend | None, solution: NDArray[np.floating]) -> Blend:
        """The base with its correction; None where the prior alone is corrected."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedCorrection:
    """A correction with what it corrects.

    Attributes:
        data: what it was fitted on.
        aside: the folds that it was not fitted on.
        base: the fitted base; None where the prior alone is corrected.
        method: how it is corrected.
        strength: of the penalty, in units of `group_weight`; infinite where the base is best alone.
        blend: base and correction.
    """

    data: Data = field(repr=False)
    aside: Aside
    base: FittedBlend | None
    method: Method
    strength: float
    blend: Blend = field(repr=False)
    _refits: dict[Aside, FittedCorrection] = field(default_factory=dict, repr=False)

    @property
    def status(self) -> str:
        """As `FittedBlend.status` says: the base's where that calls for a remark."""
        told = self.base is not None and self.base.status not in SILENT
        return self.base.status if self.base is not None and told else self.method.status

    @cached_property
    def objective(self) -> float:
        """As `FittedBlend.objective` says; worked out when it is asked for."""
        return training_score(self.data, self.blend, self.aside)

    @property
    def evaluations(self) -> int:
        """As `FittedBlend.evaluations` says."""
        return 1 + (0 if self.base is None else self.base.evaluations)

    def cosines(self, data: Data, rows: NDArray[np.int64], aside: Aside) -> NDArray[np.float64]:
        """As `FittedBlend.cosines` says."""
        return data.cosines(self.blend, rows, aside)

    def refitted(self, data: Data, aside: Aside) -> FittedCorrection:
        """As `FittedBlend.refitted` says: the same strength; kept for a chain that asks again."""
        if aside not in self._refits:
            base = None if self.base is None else self.base.refitted(data, aside)
            self._refits[aside] = _corrected(data, aside, base, self.method, self.strength)
        return self._refits[aside]


def fit_correction(
    data: Data,
    aside: Aside,
    base: FittedBlend | None,
    method: Method,
    strengths: Sequence[float],
    default: float,
) -> FittedCorrection:
    """Choose a strength and fit.

    Args:
        data: what to fit on.
        aside: folds whose targets nothing may know.
        base: fitted without them; None corrects the prior alone.
        method: how.
        strengths: to choose among, the strongest first, in units of `group_weight`.
        default: one of them, taken where folds are too few to choose.
    """

    def score(inner: Aside, fold: int) -> NDArray[np.float64]:
        blend = PRIOR_ALONE if base is None else base.refitted(data, inner).blend
        rows = data.fold_rows(fold)
        left = leftover(data, blend, inner, rows)
        equations = method.equations(left)
        finite = [strength * group_weight(data) for strength in strengths if strength < math.inf]
        solutions = equations.solve(left, finite, rough=True)
        found = summed_cosines(left, equations.products(left, solutions, rows))
        return found[1 + len(finite) - len(strengths) :]  # the base alone where it is a candidate

    index = 0
    if len(strengths) > 1:
        index = choose_strength(data, aside, score, default=strengths.index(default)).index
    return _corrected(data, aside, base, method, strengths[index])


def check_positive(blender: str, option: str, value: float | None) -> None:
    """Refuse an option that is no positive number; None is left to be chosen.

    Raises:
        InputError: it is zero, negative or NaN.
    """
    if value is not None and not value > 0.0:
        raise InputError(f"{blender}: {option} is {value}; give a positive number")


def training_score(data: Data, blend: Blend, aside: Aside) -> float:
    """The weighted mean cosine of a blend on its training rows; 0 where they have no weight."""
    rows = data.training_rows(aside)
    weight = data.statistics.weight[rows]
    return float(weight @ data.cosines(blend, rows, aside)) / (float(weight.sum()) or 1.0)


def group_weight(data: Data) -> float:
    """The mean weight of a group of any weight, over all rows.

    Strengths count in it: with twice the weights the penalty is twice as large, and rows of one
    group, which share their target, say little more than one of them would.
    """
    weight, group = data.statistics.weight, data.store.samples.group
    return float(weight.sum()) / len(np.unique(group[weight > 0.0]))


def summed_cosines(left: Leftover, products: Iterable[Products]) -> NDArray[np.float64]:
    """How well a base and its corrections do on rows that they were not fitted on.

    Args:
        left: what they were fitted to, with the base of these rows.
        products: a block of rows at a time, S corrections.

    Returns:
        (1 + S,) float64, the sum of row weight times cosine: of the base, then corrected.
    """
    totals = []
    for rows, added in products:
        weight, targets = left.data.statistics.weight[rows], left.data.targets(rows)
        base = left.scale * left.base[rows].astype(np.float64)
        cosines = (
            np.einsum("id,id->i", unit_rows(base + part), targets) for part in (np.zeros(1), *added)
        )
        totals.append([weight @ cosine for cosine in cosines])
    return np.asarray(np.sum(totals, axis=0))


def _corrected(
    data: Data, aside: Aside, base: FittedBlend | None, method: Method, strength: float
) -> FittedCorrection:
    blend = PRIOR_ALONE if base is None else base.blend
    if strength < math.inf:
        left = leftover(data, blend, aside, np.arange(0))
        penalty = strength * group_weight(data)
        (solution,) = method.equations(left).solve(left, [penalty], rough=False)
        blend = method.blend(left, None if base is None else blend, solution)
    return FittedCorrection(
        data=data, aside=aside, base=base, method=method, strength=strength, blend=blend
    )
