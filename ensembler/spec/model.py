"""Frozen spec format 1: what `ensemble.json` holds. FORMAT.md beside this file explains it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from ensembler.errors import SpecError
from ensembler.files import atomic_write, canonical_json, sha256_json
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
    content = base64.b64decode(text, validate=True)
    if len(content) % 4:
        raise ValueError(f"a vector of {len(content)} bytes does not hold whole float32 numbers")
    vector = np.frombuffer(content, dtype="<f4").astype(np.float32)
    if not np.isfinite(vector).all():
        raise ValueError("a vector holds NaN or infinity")
    return vector


def _check_vector(text: str) -> str:
    decode_vector(text)
    return text


Vector = Annotated[str, AfterValidator(_check_vector)]
Norm = Literal["none", "l2", "power"]
Weight = Annotated[float, Field(ge=-1e9, le=1e9)]  # free weights stay far below; sums stay finite
ALPHAS: Final = {"none": 0.0, "l2": 1.0}


class MemberSpec(Frozen):
    """One member of the blend: `weight · x · ‖x‖^-alpha` with `x = e - mean`."""

    name: MemberName
    sha256: Sha256  # of the out-of-fold member the weight was fitted on
    weight: Weight
    norm: Norm
    alpha: float = Field(ge=-4.0, le=4.0)  # 0 for none, 1 for l2; the bounds keep powers finite
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
    """The score of rows whose targets no part of the search had seen."""

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
    share: float  # weight times mean length under its norm, as a part of all; 0 out of the blend
    alone: float  # mean cosine over the rows it covers
    loss_without: float | None  # held-out score lost when each fold's blend does without it


class Scores(Frozen):
    """All scores; priors are out of fold everywhere: no row met a prior that saw its fold."""

    in_sample: float  # of this spec's weights on the rows that chose them, one float64 pass
    held_out: HeldOut | None  # None: the study's validation was "none"
    baselines: Baselines | None
    members: dict[str, MemberScore]
    prior_share: float  # its magnitude and those of the members' shares sum to 1
    rows: int
    groups: int
    folds: int
    dealt_anew: str | None = None  # why the store's own folds could not serve

    @model_validator(mode="after")
    def _consistent(self) -> Scores:
        if (self.held_out is None) != (self.baselines is None):
            raise ValueError("held_out and baselines come together, or neither")
        if self.held_out is not None:
            lacking = [name for name in Baselines.model_fields if name not in self.held_out.versus]
            if lacking:
                raise ValueError(f"held_out.versus lacks {', '.join(lacking)}")
        return self


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

    rows: int = Field(ge=1)
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
    def _sizes(self) -> EnsembleSpec:
        members, coreset = self.blend.members, self.coreset
        columns = 1 + len(members)
        per_row = coreset.rows * columns
        sizes = [("blend.prior.vector", self.blend.prior.vector, self.dim)]
        sizes += [
            (f"blend.members.{number}.mean", member.mean, self.dim)
            for number, member in enumerate(members)
            if member.mean is not None
        ]
        sizes += [
            ("coreset.cosines", coreset.cosines, per_row * (columns - 1) // 2),
            ("coreset.cross", coreset.cross, per_row),
            ("coreset.lengths", coreset.lengths, per_row),
            ("coreset.weight", coreset.weight, coreset.rows),
        ]
        for place, vector, size in sizes:
            found = decode_vector(vector).size
            if found != size:
                raise ValueError(f"{place} has {found} numbers instead of {size}")
        return self

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """What stands for its 100 kB and more of vectors where it is printed."""
        yield "score", round(self.scores.in_sample, 4)
        yield "held_out", self.scores.held_out and round(self.scores.held_out.score, 4)
        yield "members", len(self.blend.members)
        yield "digest", self.digest[:12]

    def canonical(self) -> bytes:
        """The bytes of its file."""
        return canonical_json(self.model_dump(mode="json"))

    def digest_of_contents(self) -> str:
        """What `digest` must be: the sha256 of the canonical JSON of everything else."""
        return sha256_json(self.model_dump(mode="json", exclude={"digest"}))

    def save(self, path: str | Path) -> None:
        """Write the spec; the file appears whole or not at all.

        Args:
            path: the file to create or replace; its folder must exist.

        Raises:
            SpecError: the file cannot be written, or the digest does not fit the contents.
        """
        if self.digest != self.digest_of_contents():
            raise SpecError(
                "digest: it does not fit the spec's contents; make the changed spec with"
                " `ensembler.spec.loading.seal`"
            )
        try:
            with atomic_write(Path(path)) as file:
                file.write(self.canonical())
        except OSError as error:
            raise SpecError(
                f"{path} cannot be written ({error}); name a file in a folder that can be written"
            ) from error
