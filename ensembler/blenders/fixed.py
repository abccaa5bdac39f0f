"""Weights that somebody else found: published ones, or set by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import Property
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.weights.fitted import FittedWeights, Solved, fit_weights
from ensembler.blending.problem import Problem
from ensembler.errors import InputError, unknown_name
from ensembler.search.space import Space
from ensembler.store.model import PRIOR


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """Given weights, nothing fitted.

    Attributes:
        weights: by member, as they were published, whatever their sum; `prior` may be among them.
            None takes the study's own, those of weights = "fixed".
        norm: of every member before it is weighted.
        centred: whether members stand less their means.
    """

    weights: Mapping[str, float] | None = field(default=None, hash=False)  # no mapping has a hash
    norm: Literal["none", "l2"] = "l2"
    centred: bool = False

    name: ClassVar[str] = "fixed"
    fallback: ClassVar[str] = "fixed"

    @property
    def properties(self) -> frozenset[Property]:
        """Scale invariance where members have unit length; no other."""
        return frozenset({Property.SCALE_INVARIANT} if self.norm == "l2" else ())

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:  # noqa: ARG002 - nothing is drawn
        """Take the weights as they are given.

        Raises:
            InputError: no weights are given, all are zero, or one names no member.
        """
        weights = self.weights_of(data.names, data.space)

        def given(_problem: Problem) -> Solved:
            return Solved(weights)

        alphas = (1.0 if self.norm == "l2" else 0.0,) * len(data.names)
        return fit_weights(data, held_out, given, centred=self.centred, alphas=alphas)

    def weights_of(self, names: Sequence[str], space: Space) -> NDArray[np.float64]:
        """(K,) the weights of the prior and of some members, which take no fit to be known.

        Args:
            names: of the members, in order.
            space: the study, whose weights are taken where none are given.

        Raises:
            InputError: no weights are given, all are zero, or one names no member.
        """
        return _spread(_studied(space) if self.weights is None else self.weights, names)


def _studied(space: Space) -> dict[str, float]:
    """The fixed weights of the study; a group's is shared equally by its members."""
    return {
        name: space.definition.fixed.get(group, 0.0) / len(members)
        for group, members in space.groups.items()
        for name in members
    }


def _spread(given: Mapping[str, float], names: Sequence[str]) -> NDArray[np.float64]:
    """(K,) the weights by column."""
    columns = (PRIOR, *names)
    unknown = next((name for name in given if name not in columns), None)
    if unknown is not None:
        raise InputError(f"fixed: {unknown_name('member', unknown, columns)}")
    weights = np.array([given.get(name, 0.0) for name in columns])
    if not weights.any() or not np.isfinite(weights).all():
        raise InputError(
            "fixed: there are no weights to replay; give Fixed(weights={member: weight, …}) or a"
            ' study with weights = "fixed"'
        )
    return weights
