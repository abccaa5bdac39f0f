"""Directions of the embedding space, and the gains that a blend may be given along them.

In the principal basis of a covariance the gains are a Wiener filter (Wiener, Extrapolation,
Interpolation and Smoothing of Stationary Time Series, 1949): variance over variance and noise.
Among the candidates is the same in standard deviations, which damps directions of little variance
less. In the coordinates each gain is what least squares gives, pulled to 1.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.corrections.covariance import shrunk_covariance
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blends.contract import Blend
from ensembler.blends.gains import split_at_prior
from ensembler.errors import InputError

Basis = Literal["corpus", "targets", "coordinates"]

# (power of the variance, noise in units of that power of the mean variance); no filter first.
FILTERS = ((1.0, 0.0), (1.0, 0.1), (1.0, 0.3), (1.0, 1.0), (0.5, 0.3), (0.5, 1.0), (0.5, 3.0))
PULLS = (np.inf, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3)  # of a coordinate's gain to 1, all the way first


class Directions(NamedTuple):
    """A basis and the gains to choose from.

    Attributes:
        basis: (d, d) float32, orthonormal columns; None for the coordinates.
        gains: (S, d) float32, the candidates, the first of them all 1.
    """

    basis: NDArray[np.float32] | None
    gains: NDArray[np.float32]

    def project(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, d) the coordinates of rows along the directions."""
        return vectors if self.basis is None else vectors @ self.basis


def find_directions(data: Data, held_out: HeldFolds, blend: Blend, basis: Basis) -> Directions:
    """The basis that the training rows, and the corpus, give, and the gains of all candidates.

    Args:
        data: to learn from.
        held_out: folds whose targets nothing may know.
        blend: that gets the gains, fitted on the same rows.
        basis: `targets` is the principal basis of the training targets, `corpus` that of their
            covariance and the corpus' in equal parts: the one knows these prompts, the other more.

    Raises:
        InputError: the basis is the corpus', and there is none or it does not fit the store.
    """
    if basis == "coordinates":
        return Directions(None, coordinate_gains(data, held_out, blend))
    covariance = shrunk_covariance(data, held_out)
    if basis == "corpus":
        covariance = (covariance + _corpus_covariance(data)) / 2.0
    variance, vectors = np.linalg.eigh(covariance)
    return Directions(vectors.astype(np.float32), filter_gains(np.maximum(variance, 0.0)))


def _corpus_covariance(data: Data) -> NDArray[np.float64]:
    if data.corpus is None:
        raise InputError(
            "gains in the basis of a corpus need one: give it with --corpus, make it with"
            " `ensembler data corpus`, or choose basis=targets"
        )
    data.corpus.check_fits(data.store)
    return data.corpus.covariance


def filter_gains(variance: NDArray[np.float64]) -> NDArray[np.float32]:
    """Gains that are 1 at the mean variance: s (1 + noise) / (s + noise).

    Args:
        variance: (d,) of the directions, s being its power relative to the mean; where all are 0
            nothing is filtered.

    Returns:
        (S, d) float32, one line for each of FILTERS.
    """
    mean = variance.mean()
    relative = variance / mean if mean > 0.0 else np.ones_like(variance)
    spreads = [(relative**power, noise) for power, noise in FILTERS]
    found = [
        np.ones_like(s) if noise == 0.0 else s * (1.0 + noise) / (s + noise) for s, noise in spreads
    ]
    return np.stack(found).astype(np.float32)


def coordinate_gains(data: Data, held_out: HeldFolds, blend: Blend) -> NDArray[np.float32]:
    """Gains (a + pull) / (b + pull), never negative, from a blend's training rows.

    `a` and `b` are each coordinate's mean product of what lies beyond the prior with the target and
    with itself, both relative to their mean over coordinates.

    Args:
        data: whose rows.
        held_out: folds whose targets nothing may know.
        blend: that gets the gains.

    Returns:
        (S, d) float32, one line for each of PULLS.
    """
    with_target, with_itself = np.zeros(data.dim), np.zeros(data.dim)
    priors = data.priors(held_out)
    for rows, blended in data.blended(blend, data.training_rows(held_out), held_out):
        own = priors[data.statistics.fold[rows]]
        beyond = split_at_prior(blended.vectors, own).beyond
        weighted = beyond * data.statistics.weight[rows, None]
        with_target += np.einsum("id,id->d", weighted, data.targets(rows))
        with_itself += np.einsum("id,id->d", weighted, beyond)
    found = [np.ones(data.dim)]
    a, b = _relative(with_target), _relative(with_itself)
    found += [np.maximum((a + pull) / (b + pull), 0.0) for pull in PULLS[1:]]
    return np.stack(found).astype(np.float32)


def _relative(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = moments.mean()
    return moments / mean if mean > 0.0 else np.ones_like(moments)
