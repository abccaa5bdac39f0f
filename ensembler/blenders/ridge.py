"""A linear map of all members, fitted to the residuals of another blender."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from ensembler.blenders.contract import Blender, Property
from ensembler.blenders.corrections.contract import Equations
from ensembler.blenders.corrections.correction import (
    FittedCorrection,
    check_positive,
    fit_correction,
)
from ensembler.blenders.corrections.equations import member_equations
from ensembler.blenders.corrections.residuals import Residuals
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.refitting.memory import fit_once
from ensembler.blenders.spelling import spell
from ensembler.blenders.weighted import Weighted

# What inner folds choose among, the base as it is first; in units of a group's mean weight.
STRENGTHS: tuple[float, ...] = (math.inf, 300.0, 100.0, 30.0, 10.0, 3.0)
DEFAULT = 30.0  # where folds are too few to choose
COLUMNS = 4096  # of a map whose rows are more still: a fold's Gram matrix takes 64 MiB then


class Status(Enum):
    """How a fit ended whose base calls for no remark; each value is its sentence."""

    CONVERGED = "the equations were solved"
    MEMBERS_LEFT_OUT = "more columns than can be solved for: the map reads the best members alone"


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """The members, centred and at unit length, mapped to the residuals by ridge regression.

    Attributes:
        base: the blender that the map corrects.
        alone: map to the targets less the prior instead; the base is not asked.
        strength: of the penalty, as in STRENGTHS; None lets inner folds choose.
    """

    base: Blender = field(default_factory=Weighted)
    alone: bool = False
    strength: float | None = None

    def __post_init__(self) -> None:
        check_positive("ridge", "strength", self.strength)

    @property
    def name(self) -> str:
        own = spell("ridge", self)
        return own if self.alone else f"{self.base.name}+{own}"

    @property
    def properties(self) -> frozenset[Property]:
        """Scale invariance, if the base has it."""
        own = frozenset({Property.SCALE_INVARIANT})
        return own if self.alone else own & self.base.properties

    @property
    def fallback(self) -> str:
        """The base: inner folds may choose to leave it as it is."""
        return "uniform" if self.alone else self.base.name

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedCorrection:
        base = None if self.alone else fit_once(data, self.base, held_out, seed)
        method = _Maps(members=mapped_members(data, held_out), total=len(data.names))
        strengths = STRENGTHS[1:] if self.alone else STRENGTHS  # alone there is no base to keep
        if self.strength is not None:
            strengths = (self.strength,)
        return fit_correction(data, held_out, base, method, strengths, DEFAULT)


@dataclass(frozen=True, kw_only=True)
class _Maps:
    """Linear maps of `members`, out of `total` in the study."""

    members: tuple[str, ...]
    total: int

    @property
    def status(self) -> str:
        whole = len(self.members) == self.total
        return (Status.CONVERGED if whole else Status.MEMBERS_LEFT_OUT).name

    def equations(self, residuals: Residuals) -> Equations:
        return member_equations(residuals.data, self.members)


def mapped_members(data: Data, held_out: HeldFolds) -> tuple[str, ...]:
    """The members that a map reads: all, or the best alone where rows and columns are too many.

    Args:
        data: whose members.
        held_out: folds whose targets nothing may know.
    """
    most = max(COLUMNS // data.dim, 1)
    if len(data.names) <= most or len(data.statistics) <= COLUMNS:
        return data.names
    rows = data.training_rows(held_out)
    alone = data.statistics.weight[rows] @ data.statistics.centred.cross[rows]
    best = sorted(range(len(alone)), key=lambda m: (-alone[m], data.names[m]))[:most]
    return tuple(name for m, name in enumerate(data.names) if m in best)
