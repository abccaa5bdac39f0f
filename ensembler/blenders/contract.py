"""The contract of a blender: a fit on some folds, and what comes out of it."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data, HeldFolds
from ensembler.blends.contract import Blend


class Property(Enum):
    """A promise of a blender beyond the contract; each value is its sentence."""

    DUPLICATE_INVARIANT = "a member that occurs twice changes no prediction"
    NEVER_BELOW_SINGLES = "on its training rows no single member scores higher"
    SCALE_INVARIANT = "a member multiplied by a positive number changes no prediction"


class FittedBlend(Protocol):
    """A blend with what its blender tells of it."""

    @property
    def blend(self) -> Blend:
        """The numbers, ready to be applied or frozen."""

    @property
    def status(self) -> str:
        """How the fit ended, by name; those of `solver.UNREMARKABLE` call for no remark."""

    @property
    def objective(self) -> float:
        """Mean cosine on the training rows, priors out of fold."""

    @property
    def evaluations(self) -> int:
        """Passes over the statistics or the rows."""

    def cosines(
        self, data: Data, rows: NDArray[np.int64], held_out: HeldFolds
    ) -> NDArray[np.float64]:
        """(n,) float64: the cosine of each of some rows with its target."""

    def refitted(self, data: Data, held_out: HeldFolds) -> FittedBlend:
        """The same choices, norms and strengths with the parameters fitted on other folds.

        It serves a choice made within the training rows of an outer fit: `held_out` has that fit's
        own folds and one more, on whose rows the result is compared. It is never frozen, so that
        single precision is enough. Ask for it by `refit_once`.
        """


class Blender(Protocol):
    """A way to combine members: plain options, no state."""

    @property
    def name(self) -> str:
        """The text that `parse_blender` reads; of a blender on another, `<base>+<own>`."""

    @property
    def properties(self) -> frozenset[Property]:
        """The promises that it makes beyond the contract."""

    @property
    def fallback(self) -> str:
        """The blender that it must not lose to, held out, beyond noise."""

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedBlend:
        """Fit on the rows of all folds but the held-out ones.

        Args:
            data: all that it may look at.
            held_out: folds whose targets nothing may know.
            seed: of all draws; they go by id, so that the order of rows does not matter.

        Raises:
            StoreError: the training rows are too few.
        """
