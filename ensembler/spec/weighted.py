"""A frozen blend of plain weights."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ensembler.frozen import Frozen, Sha256
from ensembler.spec.numbers import ALPHAS, Alpha, Norm, Vector, Weight
from ensembler.store.model import MemberName, Origin


class MemberSpec(Frozen):
    """One member of the blend: `weight · x · ‖x‖^-alpha` with `x = e - mean`."""

    name: MemberName
    sha256: Sha256  # of the out-of-fold member the weight was fitted on
    weight: Weight
    norm: Norm
    alpha: Alpha  # 0 for none, 1 for l2
    mean: Vector | None = None  # (d,), present when the blend is centred
    origin: Origin  # what made it: predictor, config, checkpoints, preprocessing

    @model_validator(mode="after")
    def _consistent(self) -> MemberSpec:
        if self.norm != "power" and self.alpha != ALPHAS[self.norm]:
            raise ValueError(
                f"norm {self.norm!r} means alpha {ALPHAS[self.norm]}, not {self.alpha}"
            )
        return self


class PriorSpec(Frozen):
    """The constant member: the unit-length mean target of all rows.

    Its weight may be 0; rows without a member get the vector all the same.
    """

    weight: Weight
    vector: Vector


class WeightedSpec(Frozen):
    """`w_0·prior + Σ w_m · x_m · ‖x_m‖^-alpha_m`, rows then scaled to length 1."""

    kind: Literal["weighted"] = "weighted"
    centred: bool
    prior: PriorSpec
    members: tuple[MemberSpec, ...]  # in the store's order; of nonzero weight where it stands alone

    @model_validator(mode="after")
    def _consistent(self) -> WeightedSpec:
        names = [member.name for member in self.members]
        if len(set(names)) != len(names):
            raise ValueError("a member's name occurs twice")
        if any((member.mean is not None) != self.centred for member in self.members):
            raise ValueError("members have a mean exactly when the blend is centred")
        return self
