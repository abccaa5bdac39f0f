"""What a build of the statistics streams, and what its first pass finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ensembler.store.reader import Member

Block = dict[str, NDArray[Any]]  # rows of the arrays of `layout`, by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Members and targets on disk, and how rows are folded and weighted.

    Attributes:
        members: the M members, in order.
        targets: (rows, d) float32, any positive length.
        fold: (rows,) int64 in 0..F-1, the evaluation folds.
        weight: (rows,) float64 row weights.
        folds: F.
    """

    members: Sequence[Member]
    targets: NDArray[np.float32]
    fold: NDArray[np.int64]
    weight: NDArray[np.float64]
    folds: int


class Sums(NamedTuple):
    """What the first pass adds up over rows.

    Attributes:
        total: (M, d) float64, each member's rows of any weight; not finite where a member is not.
        present: (M,) int64, how many of them are not all zeros.
        targets: (F, d) float64, each fold's weighted unit targets.
    """

    total: NDArray[np.float64]
    present: NDArray[np.int64]
    targets: NDArray[np.float64]

    @classmethod
    def zeros(cls, members: int, folds: int, dim: int) -> Sums:
        """The sums over no rows."""
        return cls(
            np.zeros((members, dim)), np.zeros(members, dtype=np.int64), np.zeros((folds, dim))
        )

    def add(self, part: Sums) -> None:
        """Add the sums over other rows, in place."""
        with np.errstate(invalid="ignore"):  # infinities of both signs: told when all is summed
            for name, total in self._asdict().items():
                total += getattr(part, name)


class Means(NamedTuple):
    """What the second pass needs of the first.

    Attributes:
        members: (M, d) float32, each member's mean over the rows of any weight that it covers.
        directions: (F, d) float64, each fold's sum of targets at unit length.
    """

    members: NDArray[np.float32]
    directions: NDArray[np.float64]


class Engine(Protocol):
    """One way to do both passes over a range of rows; called by several threads at once."""

    def sums(self, rows: range) -> Sums:
        """The first pass over some rows."""

    def fill(self, rows: range, means: Means, block: Block) -> None:
        """The second pass: write the statistics of some rows into a block of theirs."""
