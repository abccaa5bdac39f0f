"""A gain for each direction: what a blend says where targets hardly vary is mostly noise.

What the base says beyond the prior is turned into a basis, multiplied there and turned back
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
from ensembler.blenders.data import Aside, Data
from ensembler.blenders.refitting.memory import fit_once, refit_once
from ensembler.blenders.refitting.strength import choose_strength
from ensembler.blenders.spelling import spell
from ensembler.blenders.weighted import Weighted
from ensembler.blends import gains
from ensembler.blends.contract import Blend
from ensembler.blends.gains import split_at_prior

PRIORS = (1.0, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5)  # gains of the part along the prior; unchanged first


class Strength(NamedTuple):
    """What inner folds chose.

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
        data: what was fitted on.
        aside: the folds that it does not know.
    """

    base: FittedBlend
    basis: Basis
    strength: Strength
    blend: gains.Gains
    data: Data
    aside: Aside

    @property
    def status(self) -> str:
        """The base's; gains are computed, not solved."""
        return self.base.status

    @cached_property
    def objective(self) -> float:
        """As `FittedBlend.objective` says; worked out when it is asked for."""
        return training_score(self.data, self.blend, self.aside)

    @property
    def evaluations(self) -> int:
        """Those of the base, and each training row once as an inner fold's."""
        return self.base.evaluations + 1

    def cosines(self, data: Data, rows: NDArray[np.int64], aside: Aside) -> NDArray[np.float64]:
        """As `FittedBlend.cosines` says."""
        return data.cosines(self.blend, rows, aside)

    def refitted(self, data: Data, aside: Aside) -> FittedGains:
        """As `FittedBlend.refitted` says: the same strength on the refitted base."""
        return _fitted(data, aside, refit_once(data, self.base, aside), self.basis, self.strength)


@dataclass(frozen=True, kw_only=True)
class Gains:
    """Gains on any blender, their strength chosen by inner folds.

    Attributes:
        base: what is filtered.
        basis: as in `find_directions`; None takes the corpus where there is one, else the targets.
    """

    base: Blender = field(default_factory=Weighted)
    basis: Basis | None = None

    @property
    def name(self) -> str:
        """As `parse_blender` reads it."""
        return f"{self.base.name}+{spell('gains', self)}"

    @property
    def properties(self) -> frozenset[Property]:
        """What holds for the rows of the base holds for all that is made of them."""
        return self.base.properties - {Property.NEVER_BELOW_SINGLES}

    @property
    def fallback(self) -> str:
        """The base: with gains of 1 nothing else is left."""
        return self.base.name

    def fit(self, data: Data, aside: Aside, seed: int) -> FittedGains:
        """As `Blender.fit` says.

        Raises:
            InputError: the basis is the corpus', and there is none or it is not the store's kind.
        """
        basis: Basis = self.basis or ("targets" if data.corpus is None else "corpus")
        base = fit_once(data, self.base, aside, seed)

        def score(inner: Aside, fold: int) -> NDArray[np.float64]:
            blend = refit_once(data, base, inner).blend
            directions = find_directions(data, inner, blend, basis)
            return summed_cosines(data, inner, fold, blend, directions)

        index = choose_strength(data, aside, score, default=0).index
        strength = Strength(index // len(PRIORS), PRIORS[index % len(PRIORS)])
        return _fitted(data, aside, base, basis, strength)


def _fitted(
    data: Data, aside: Aside, base: FittedBlend, basis: Basis, strength: Strength
) -> FittedGains:
    directions = find_directions(data, aside, base.blend, basis)
    blend = gains.Gains(
        base=base.blend,
        basis=directions.basis,
        gains=directions.gains[strength.gains],
        prior=strength.prior,
    )
    return FittedGains(
        base=base, basis=basis, strength=strength, blend=blend, data=data, aside=aside
    )


def summed_cosines(
    data: Data, aside: Aside, fold: int, blend: Blend, directions: Directions
) -> NDArray[np.float64]:
    """What each candidate scores on a fold, the gains' in the outer order, the priors' within.

    Args:
        data: whose rows.
        aside: the folds that the blend does not know, this one among them.
        fold: whose rows are scored.
        blend: the base.
        directions: the basis and the candidates.

    Returns:
        (S·A,) float64: the sum over rows of weight times cosine.
    """
    prior = data.priors(aside)[fold]
    factors = directions.gains.astype(np.float64).T
    total = np.zeros((len(directions.gains), len(PRIORS)))
    for rows, blended in data.blended(blend, data.fold_rows(fold), aside):
        priors = np.broadcast_to(prior, blended.vectors.shape)
        split = split_at_prior(blended.vectors, priors)
        beyond = directions.turned(split.beyond)
        targets = data.targets(rows)
        cross = (beyond * directions.turned(targets)) @ factors  # (n, S)
        mixed = (beyond * directions.turned(prior[None, :])) @ factors
        square = np.square(beyond) @ np.square(factors)
        for place, gain in enumerate(PRIORS):
            along = gain * split.along[:, None]
            dot = along * (targets @ prior)[:, None] + cross
            length = np.sqrt(np.maximum(along**2 * (prior @ prior) + 2 * along * mixed + square, 0))
            cosines = np.divide(dot, length, out=np.zeros_like(dot), where=length > 0.0)
            total[:, place] += data.statistics.weight[rows] @ cosines
    return total.ravel()
