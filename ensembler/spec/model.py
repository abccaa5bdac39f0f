"""Frozen spec format 1: what `ensemble.json` holds. FORMAT.md beside this file is the page to read."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from ensembler.store.model import EncoderRecord, Frozen, MemberName, Origin, Sha256

# To raise VERSION: keep these classes as model_v1.py, convert in loading.py, leave
# tests/golden/spec-v1.json untouched, add spec-v2.json, note it in CHANGELOG.md.
VERSION: Final = 1
FORMAT: Final = "ensembler-spec"

WEIGHT_DIGITS: Final = 9  # significant digits of a weight: beyond them the score does not move


def encode_vector(values: NDArray[np.floating]) -> str:
    """Any array as base64 of its little-endian float32 bytes in C order."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def decode_vector(text: str) -> NDArray[np.float32]:
    """The one-dimensional float32 array behind `encode_vector`'s text.

    Raises:
        ValueError: not base64, not whole float32 numbers, or not finite.
    """
    vector = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
    if not np.isfinite(vector).all():
        raise ValueError("a vector holds NaN or infinity")
    return vector


def _check_vector(text: str) -> str:
    decode_vector(text)
    return text


Vector = Annotated[str, AfterValidator(_check_vector)]
Norm = Literal["none", "l2", "power"]


class MemberSpec(Frozen):
    """One member of the blend: `weight · x · ‖x‖^-alpha` with `x = e - mean`."""

    name: MemberName
    sha256: Sha256  # of the out-of-fold member the weight was fitted on
    weight: float
    norm: Norm
    alpha: float  # 0 for none, 1 for l2
    mean: Vector | None = None  # (d,), present when the blend is centred
    origin: Origin  # what made it: predictor, config, checkpoints, preprocessing


class PriorSpec(Frozen):
    """The constant member: the unit-length mean target of all rows.

    Its weight may be 0; rows without a member get the vector all the same.
    """

    weight: float
    vector: Vector


class WeightedBlend(Frozen):
    """`w_0·prior + Σ w_m · x_m · ‖x_m‖^-alpha_m`, rows then scaled to length 1."""

    kind: Literal["weighted"] = "weighted"
    centred: bool
    prior: PriorSpec
    members: tuple[MemberSpec, ...]  # those of nonzero weight, in the store's order

    @model_validator(mode="after")
    def _consistent(self) -> WeightedBlend:
        names = [member.name for member in self.members]
        if len(set(names)) != len(names):
            raise ValueError("a member's name occurs twice")
        if any((member.mean is not None) != self.centred for member in self.members):
            raise ValueError("members have a mean exactly when the blend is centred")
        return self


class Difference(Frozen):
    """Blend minus baseline on the same held-out rows, with its 95 % group-bootstrap interval."""

    difference: float
    interval: tuple[float, float]


class HeldOut(Frozen):
    """The score of rows that no part of the search had seen."""

    score: float
    interval: tuple[float, float]
    versus: dict[str, Difference]


class Baselines(Frozen):
    """Held-out scores on the same rows."""

    prior: float
    uniform: float
    single_best: float


class MemberScore(Frozen):
    """One member of the store beside the blend."""

    rows: int
    alone: float  # mean cosine over the rows it covers
    loss_without: float | None  # held-out score lost when it is left out and the rest re-solved


class Scores(Frozen):
    """All scores; priors are out of fold everywhere: no row met a prior that saw its fold."""

    in_sample: float  # of this spec's weights on the rows that chose them, one float64 pass
    held_out: HeldOut | None  # None: the study's validation was "none"
    baselines: Baselines | None
    members: dict[str, MemberScore]
    rows: int
    groups: int
    folds: int


class Provenance(Frozen):
    """Where the spec came from; nothing in it names a machine or a date."""

    store: Sha256
    encoder: EncoderRecord | None  # of the targets
    study: dict[str, Any]  # the definition, every key resolved
    seed: int
    trials: int
    versions: dict[str, str]


class Coreset(Frozen):
    """Statistics of a few rows: enough to re-solve the weights when a member is missing.

    Columns are the prior, then the blend's members. Lengths hold ‖x‖ of each member, 0 where it has
    no row, and 1 for the prior.
    """

    rows: int
    cosines: Vector  # (rows, K(K-1)/2) between columns, the strict upper triangle row by row
    cross: Vector  # (rows, K) with the target
    lengths: Vector  # (rows, K)
    weight: Vector  # (rows,)


class EnsembleSpec(Frozen):
    """All that `predict` needs to make the same blend again."""

    format: Literal["ensembler-spec"] = FORMAT
    version: Literal[1] = VERSION
    dim: int = Field(ge=1)
    metric: Literal["mean_cosine"] = "mean_cosine"
    blend: WeightedBlend
    scores: Scores
    provenance: Provenance
    coreset: Coreset
    digest: Sha256  # of the canonical JSON of everything else

    @model_validator(mode="after")
    def _dimensions(self) -> EnsembleSpec:
        vectors = [("blend.prior.vector", self.blend.prior.vector)]
        vectors += [(f"blend.members.{m.name}.mean", m.mean) for m in self.blend.members if m.mean]
        for place, vector in vectors:
            size = decode_vector(vector).size
            if size != self.dim:
                raise ValueError(f"{place} has {size} numbers, dim is {self.dim}")
        return self
