"""The order of members, and the expected score of a blend without some of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.rules import CANCELLED
from ensembler.inference.missing import blend_without
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.numbers import decode_vector
from ensembler.spec.weighted import WeightedSpec


class _Statistics(NamedTuple):
    """A spec's coreset, unpacked; n rows, K columns, the prior first."""

    cosines: NDArray[np.float64]  # (n, K, K)
    cross: NDArray[np.float64]  # (n, K)
    lengths: NDArray[np.float64]  # (n, K)
    weight: NDArray[np.float64]  # (n,)


class Expectation:
    """Scores of blends of some of a spec's members, on its coreset.

    A composed blend is judged by the plain weights that stand in for it: more the coreset cannot
    tell.

    Args:
        spec: the frozen blend.
    """

    def __init__(self, spec: EnsembleSpec) -> None:
        self._spec = spec
        self._names = frozenset(member.name for member in spec.weighted.members)
        self._scores: dict[frozenset[str], float] = {}

    def blend(self, members: Collection[str]) -> WeightedSpec:
        """Plain weights of some members, solved anew; the prior alone where there are none."""
        missing = self._names.difference(members)
        return blend_without(self._spec, missing) if missing else self._spec.weighted

    def score(self, members: Collection[str]) -> float:
        """The mean cosine of that blend over the coreset's rows."""
        chosen = self._names.intersection(members)
        if chosen not in self._scores:
            self._scores[chosen] = self._score(self.blend(chosen))
        return self._scores[chosen]

    def loss(self, members: Collection[str]) -> float:
        """The score that the blend of some members lacks to the whole spec's."""
        return self.score(self._names) - self.score(members)

    def _score(self, blend: WeightedSpec) -> float:
        """w·c / sqrt(w·G·w) with columns of length ‖x‖^(1 - alpha), averaged over the rows."""
        held = self._statistics
        alphas = np.array([0.0, *(member.alpha for member in self._spec.weighted.members)])
        weights = {member.name: member.weight for member in blend.members}
        whole = [blend.prior.weight]
        whole += [weights.get(member.name, 0.0) for member in self._spec.weighted.members]
        present = held.lengths > 0.0
        powered = np.power(
            held.lengths, 1.0 - alphas, out=np.zeros_like(held.lengths), where=present
        )
        parts = powered * np.array(whole)
        length = np.sqrt(np.maximum(np.einsum("nj,njk,nk->n", parts, held.cosines, parts), 0.0))
        there = length > CANCELLED * np.abs(parts).sum(axis=1)
        along = np.einsum("nk,nk->n", parts, held.cross)
        cosine = np.divide(along, length, out=np.zeros_like(length), where=there)
        uncovered = ~parts[:, 1:].any(axis=1)
        cosine[uncovered] = held.cross[uncovered, 0]
        return float(np.average(cosine, weights=held.weight))

    @cached_property
    def _statistics(self) -> _Statistics:
        coreset, columns = self._spec.coreset, 1 + len(self._names)
        first, second = np.triu_indices(columns, 1)
        pairs = decode_vector(coreset.cosines).reshape(coreset.rows, len(first))
        cosines = np.tile(np.eye(columns), (coreset.rows, 1, 1))
        cosines[:, first, second] = cosines[:, second, first] = pairs
        return _Statistics(
            cosines=cosines,
            cross=decode_vector(coreset.cross).reshape(coreset.rows, columns).astype(np.float64),
            lengths=decode_vector(coreset.lengths)
            .reshape(coreset.rows, columns)
            .astype(np.float64),
            weight=decode_vector(coreset.weight).astype(np.float64),
        )


def next_member(
    expectation: Expectation, finished: Collection[str], seconds: Mapping[str, float]
) -> str:
    """The member that adds most per second to those that have finished.

    What a member adds is told by the coreset, weights solved again with and without it. So of two
    twins the first counts and the second hardly does, which neither one's own loss in the spec
    tells: without either, the other makes up for it.

    Args:
        expectation: of the spec.
        finished: the members whose vectors are there.
        seconds: those to choose from, and what each is expected to take; at least one.

    Returns:
        Its name; of equals, the spec's first.
    """
    now = expectation.score(finished)

    def gain(name: str) -> float:
        added = expectation.score([*finished, name]) - now
        return added / max(seconds[name], 1.0)

    return max(seconds, key=gain)
