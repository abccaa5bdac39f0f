"""A gain for each direction: where targets hardly vary, a blend is mostly noise.

The base's rows beyond the prior are turned into a basis, multiplied there and turned back
(`ensembler.blends.gains`). `corrections/directions.py` has the candidates; inner folds choose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender, FittedBlend, Property
from ensembler.blenders.corrections.correction import training_score
from ensembler.blenders.corrections.directions import Basis, Directions, find_directions
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.refitting.memory import fit_once, refit_once
from ensembler.blenders.refitting.strength import choose_strength
from ensembler.blenders.spelling import spell
from ensembler.blenders.weighted import Weighted
from ensembler.blends.contract import Blend
from ensembler.blends.gains import GainsBlend, split_at_prior

PRIORS = (1.0, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5)  # gains of the part along the prior; unchanged first


class Strength(NamedTuple):
    """The candidate that inner folds chose.

    Attributes:
        gains: which of the candidates.
        prior: the gain of the part along the prior.
    """

    gains: int
    prior: float


@dataclass(frozen=True, kw_only=True)
class FittedGains:
    """Gains on a fitted base.

    Attributes:
        base: fitted on the same training rows.
        basis: in which there are gains.
        strength: as chosen.
        blend: the numbers.
        data: that it was fitted on.
        held_out: the folds that it does not know.
    """

    base: FittedBlend
    basis: Basis
    strength: Strength
    blend: GainsBlend
    data: Data
    held_out: HeldFolds

    @property
    def status(self) -> str:
        """The base's; gains are computed, not solved."""
        return self.base.status

    @cached_property
    def objective(self) -> float:
        """The training score, worked out when it is asked for."""
        return training_score(self.data, self.blend, self.held_out)

    @property
    def evaluations(self) -> int:
        """Those of the base, and each training row once as an inner fold's."""
        return self.base.evaluations + 1

    def cosines(
        self, data: Data, rows: NDArray[np.int64], held_out: HeldFolds
    ) -> NDArray[np.float64]:
        return data.cosines(self.blend, rows, held_out)

    def refitted(self, data: Data, held_out: HeldFolds) -> FittedGains:
        """The same strength on the refitted base."""
        return _fitted(
            data, held_out, refit_once(data, self.base, held_out), self.basis, self.strength
        )


@dataclass(frozen=True, kw_only=True)
class Gains:
    """Gains on any blender, their strength chosen by inner folds.

    Attributes:
        base: the blender whose rows are filtered.
        basis: as in `find_directions`; None takes the corpus where there is one, else the targets.
    """

    base: Blender = field(default_factory=Weighted)
    basis: Basis | None = None

    @property
    def name(self) -> str:
        return f"{self.base.name}+{spell('gains', self)}"

    @property
    def properties(self) -> frozenset[Property]:
        """The base's, but one: gains may lower a score on the training rows."""
        return self.base.properties - {Property.NEVER_BELOW_SINGLES}

    @property
    def fallback(self) -> str:
        """The base: with gains of 1 nothing else is left."""
        return self.base.name

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedGains:
        """Fit the base, then choose the strength of its gains.

        Raises:
            InputError: the basis is the corpus', and there is none or it is not the store's kind.
        """
        basis: Basis = self.basis or ("targets" if data.corpus is None else "corpus")
        base = fit_once(data, self.base, held_out, seed)

        def score(inner: HeldFolds, fold: int) -> NDArray[np.float64]:
            blend = refit_once(data, base, inner).blend
            directions = find_directions(data, inner, blend, basis)
            return summed_cosines(data, inner, fold, blend, directions)

        index = choose_strength(data, held_out, score, default=0).index
        strength = Strength(index // len(PRIORS), PRIORS[index % len(PRIORS)])
        return _fitted(data, held_out, base, basis, strength)


def _fitted(
    data: Data, held_out: HeldFolds, base: FittedBlend, basis: Basis, strength: Strength
) -> FittedGains:
    directions = find_directions(data, held_out, base.blend, basis)
    blend = GainsBlend(
        base=base.blend,
        basis=directions.basis,
        gains=directions.gains[strength.gains],
        prior=strength.prior,
    )
    return FittedGains(
        base=base, basis=basis, strength=strength, blend=blend, data=data, held_out=held_out
    )


def summed_cosines(
    data: Data, held_out: HeldFolds, fold: int, blend: Blend, directions: Directions
) -> NDArray[np.float64]:
    """Score all candidates on a fold: for each of the gains, each of the priors' gains.

    Args:
        data: whose rows.
        held_out: the folds that the blend does not know, this one among them.
        fold: whose rows are scored.
        blend: the base.
        directions: the basis and the candidates.

    Returns:
        (S·A,) float64: the sum over rows of weight times cosine.
    """
    prior = data.priors(held_out)[fold]
    factors = directions.gains.astype(np.float64).T
    total = np.zeros((len(directions.gains), len(PRIORS)))
    for rows, blended in data.blended(blend, data.fold_rows(fold), held_out):
        priors = np.broadcast_to(prior, blended.vectors.shape)
        split = split_at_prior(blended.vectors, priors)
        beyond = directions.project(split.beyond)
        targets = data.targets(rows)
        cross = (beyond * directions.project(targets)) @ factors  # (n, S)
        mixed = (beyond * directions.project(prior[None, :])) @ factors
        square = np.square(beyond) @ np.square(factors)
        for place, gain in enumerate(PRIORS):
            along = gain * split.along[:, None]
            dot = along * (targets @ prior)[:, None] + cross
            length = np.sqrt(np.maximum(along**2 * (prior @ prior) + 2 * along * mixed + square, 0))
            cosines = np.divide(dot, length, out=np.zeros_like(dot), where=length > 0.0)
            total[:, place] += data.statistics.weight[rows] @ cosines
    return total.ravel()
