"""A blender that sees some of the members only: a leaf of a tree of groups."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender, FittedBlend, Property
from ensembler.blenders.data import Aside, Data
from ensembler.blenders.memory import once_for_data
from ensembler.blenders.preselection import of_members
from ensembler.blenders.weighted import Weighted
from ensembler.blends.contract import Blend
from ensembler.errors import InputError, unknown_name


@dataclass(frozen=True, kw_only=True)
class Among:
    """Another blender on a group of members.

    Attributes:
        members: the group's names.
        base: the blender.
    """

    members: tuple[str, ...]
    base: Blender = field(default_factory=Weighted)

    @property
    def name(self) -> str:
        """The blender and the group."""
        return f"{self.base.name}({', '.join(self.members)})"

    @property
    def properties(self) -> frozenset[Property]:
        """The base's, but that it does not see every single member."""
        return self.base.properties - {Property.NEVER_BELOW_SINGLES}

    @property
    def fallback(self) -> str:
        """The base's."""
        return self.base.fallback

    def fit(self, data: Data, aside: Aside, seed: int) -> FittedAmong:
        """As `Blender.fit` says.

        Raises:
            InputError: a member is none of the data's.
        """
        for name in self.members:
            if name not in data.names:
                raise InputError(f"{self.name}: {unknown_name('member', name, data.names)}")
        fitted = self.base.fit(_some(data, self.members), aside, seed)
        return FittedAmong(members=self.members, fitted=fitted)


@dataclass(frozen=True, kw_only=True)
class FittedAmong:
    """A blend of a group of members.

    Attributes:
        members: the group's names.
        fitted: what its blender found.
    """

    members: tuple[str, ...]
    fitted: FittedBlend

    @property
    def blend(self) -> Blend:
        """As `FittedBlend.blend` says."""
        return self.fitted.blend

    @property
    def status(self) -> str:
        """As `FittedBlend.status` says."""
        return self.fitted.status

    @property
    def objective(self) -> float:
        """As `FittedBlend.objective` says."""
        return self.fitted.objective

    @property
    def evaluations(self) -> int:
        """As `FittedBlend.evaluations` says."""
        return self.fitted.evaluations

    def cosines(self, data: Data, rows: NDArray[np.int64], aside: Aside) -> NDArray[np.float64]:
        """As `FittedBlend.cosines` says."""
        return self.fitted.cosines(_some(data, self.members), rows, aside)

    def refitted(self, data: Data, aside: Aside) -> FittedAmong:
        """As `FittedBlend.refitted` says."""
        refitted = self.fitted.refitted(_some(data, self.members), aside)
        return FittedAmong(members=self.members, fitted=refitted)


@once_for_data
def _some(data: Data, members: tuple[str, ...]) -> Data:
    return of_members(data, np.flatnonzero([name in members for name in data.names]))
