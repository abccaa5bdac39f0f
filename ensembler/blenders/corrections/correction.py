"""Fitting and refitting a correction to a base's residuals, as `ridge` and `kernel` share it.

The base's unit rows, scaled, and a regularised correction add up; its strength is chosen by inner
folds, on which the base is refitted too. The base as it is stands first among the candidates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import FittedBlend
from ensembler.blenders.corrections.contract import Equations, Method, Products
from ensembler.blenders.corrections.residuals import Residuals, compute_residuals
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.refitting.memory import keep_refit, refit_once
from ensembler.blenders.refitting.strength import choose_strength
from ensembler.blending.solver import UNREMARKABLE
from ensembler.blends.contract import Blend
from ensembler.blends.linear import PRIOR_ALONE
from ensembler.errors import InputError
from ensembler.metrics import unit_rows


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedCorrection:
    """A correction with what it corrects.

    Attributes:
        data: that it was fitted on.
        held_out: the folds that it was not fitted on.
        base: as fitted; None where the prior alone is corrected.
        method: how it is corrected.
        strength: of the penalty, in units of `group_weight`; infinite where the base is best alone.
        blend: base and correction.
    """

    data: Data = field(repr=False)
    held_out: HeldFolds
    base: FittedBlend | None
    method: Method
    strength: float
    blend: Blend = field(repr=False)

    @property
    def status(self) -> str:
        """The base's where that calls for a remark, else the correction's."""
        if self.base is not None and self.base.status not in UNREMARKABLE:
            return self.base.status
        return self.method.status

    @cached_property
    def objective(self) -> float:
        """The training score, worked out when it is asked for."""
        return training_score(self.data, self.blend, self.held_out)

    @property
    def evaluations(self) -> int:
        return 1 + (0 if self.base is None else self.base.evaluations)

    def cosines(
        self, data: Data, rows: NDArray[np.int64], held_out: HeldFolds
    ) -> NDArray[np.float64]:
        return data.cosines(self.blend, rows, held_out)

    def refitted(self, data: Data, held_out: HeldFolds) -> FittedCorrection:
        """The same strength on the refitted base."""
        base = None if self.base is None else refit_once(data, self.base, held_out)
        return _corrected(data, held_out, base, self.method, self.strength, rough=True)


def fit_correction(
    data: Data,
    held_out: HeldFolds,
    base: FittedBlend | None,
    method: Method,
    strengths: Sequence[float],
    default: float,
) -> FittedCorrection:
    """Choose a strength and fit.

    Args:
        data: to fit on.
        held_out: folds whose targets nothing may know.
        base: fitted without them; None corrects the prior alone.
        method: how to correct.
        strengths: to choose among, the strongest first, in units of `group_weight`.
        default: one of them, taken where folds are too few to choose.
    """
    tried = dict[HeldFolds, _Solved]()

    def score(inner: HeldFolds, fold: int) -> NDArray[np.float64]:
        own, rows = None if base is None else refit_once(data, base, inner), data.fold_rows(fold)
        residuals = compute_residuals(data, _blend(own), inner, rows)
        tried[inner] = solved = _solve(residuals, own, method, strengths, rough=True)
        corrections = list(solved.solutions.values())
        found = summed_cosines(residuals, solved.equations.products(residuals, corrections, rows))
        return found[1 + len(corrections) - len(strengths) :]  # the base where it is a candidate

    strength = strengths[0]
    if len(strengths) > 1:
        choice = choose_strength(data, held_out, score, default=strengths.index(default))
        strength = strengths[choice.index]
    fitted = _corrected(data, held_out, base, method, strength, rough=False)
    for inner, solved in tried.items():  # whoever stands on this asks for them next
        keep_refit(data, fitted, inner, solved.fitted(data, inner, method, strength))
    return fitted


def check_positive(blender: str, option: str, value: float | None) -> None:
    """Refuse an option that is not a positive number; None is left to be chosen.

    Raises:
        InputError: it is zero, negative or NaN.
    """
    if value is not None and not value > 0.0:
        raise InputError(f"{blender}: {option} is {value}; give a positive number")


def training_score(data: Data, blend: Blend, held_out: HeldFolds) -> float:
    """The weighted mean cosine of a blend on its training rows; 0 where they have no weight."""
    rows = data.training_rows(held_out)
    weight = data.statistics.weight[rows]
    return float(weight @ data.cosines(blend, rows, held_out)) / (float(weight.sum()) or 1.0)


def group_weight(data: Data) -> float:
    """The mean weight of a group of any weight, over all rows.

    Strengths count in it: with twice the weights the penalty is twice as large, and rows of one
    group, which share their target, say little more than one of them would.
    """
    weight, group = data.statistics.weight, data.store.samples.group
    return float(weight.sum()) / len(np.unique(group[weight > 0.0]))


def summed_cosines(residuals: Residuals, products: Iterable[Products]) -> NDArray[np.float64]:
    """Score a base and its corrections on rows that they were not fitted on.

    Args:
        residuals: that they were fitted to, with the base of these rows.
        products: a block of rows at a time, S corrections.

    Returns:
        (1 + S,) float64, the sum of row weight times cosine: of the base, then corrected.
    """
    totals = []
    for rows, added in products:
        weight, targets = residuals.data.statistics.weight[rows], residuals.data.targets(rows)
        base = residuals.scale * residuals.base[rows].astype(np.float64)
        cosines = (
            np.einsum("id,id->i", unit_rows(base + part), targets) for part in (np.zeros(1), *added)
        )
        totals.append([weight @ cosine for cosine in cosines])
    return np.asarray(np.sum(totals, axis=0))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Solved:
    """A base with its corrections of some strengths."""

    base: FittedBlend | None
    equations: Equations
    scale: float
    solutions: dict[float, NDArray[np.floating]]  # by strength; an infinite one has none

    def fitted(
        self, data: Data, held_out: HeldFolds, method: Method, strength: float
    ) -> FittedCorrection:
        blend = _blend(self.base)
        if strength < math.inf:
            base = None if self.base is None else blend
            blend = self.equations.blend(data, base, self.solutions[strength], self.scale)
        return FittedCorrection(
            data=data,
            held_out=held_out,
            base=self.base,
            method=method,
            strength=strength,
            blend=blend,
        )


def _solve(
    residuals: Residuals,
    base: FittedBlend | None,
    method: Method,
    strengths: Sequence[float],
    *,
    rough: bool,
) -> _Solved:
    equations, unit = method.equations(residuals), group_weight(residuals.data)
    finite = [strength for strength in strengths if strength < math.inf]
    solutions = equations.solve(residuals, [strength * unit for strength in finite], rough=rough)
    return _Solved(
        base=base,
        equations=equations,
        scale=residuals.scale,
        solutions=dict(zip(finite, solutions, strict=True)),
    )


def _corrected(
    data: Data,
    held_out: HeldFolds,
    base: FittedBlend | None,
    method: Method,
    strength: float,
    *,
    rough: bool,
) -> FittedCorrection:
    if strength == math.inf:
        return FittedCorrection(
            data=data,
            held_out=held_out,
            base=base,
            method=method,
            strength=strength,
            blend=_blend(base),
        )
    residuals = compute_residuals(data, _blend(base), held_out, np.arange(0))
    solved = _solve(residuals, base, method, [strength], rough=rough)
    return solved.fitted(data, held_out, method, strength)


def _blend(base: FittedBlend | None) -> Blend:
    return PRIOR_ALONE if base is None else base.blend
