"""Frozen spec format 1: what `ensemble.json` holds. FORMAT.md beside this file explains it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from ensembler.errors import SpecError
from ensembler.files import atomic_write, canonical_json, sha256_json
from ensembler.frozen import Frozen, Sha256
from ensembler.spec.composed import ComposedSpec
from ensembler.spec.numbers import Vector, decode_vector
from ensembler.spec.tensors import Tensors, drop_tensors, named_tensors, write_tensors
from ensembler.spec.weighted import WeightedSpec
from ensembler.store.model import EncoderRecord

# To raise VERSION: keep these classes, and those of composed.py and weighted.py, as model_v1.py,
# convert in loading.py, leave tests/golden/spec-v1*.json untouched, add spec-v2.json, note it in
# CHANGELOG.md.
VERSION: Final = 1
FORMAT: Final = "ensembler-spec"


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

    Columns are the prior, then the weighted blend's members. Lengths hold ‖x‖ of each member, 0
    where it has no row, and 1 for the prior.
    """

    rows: int = Field(ge=1)
    cosines: Vector  # (rows, K(K-1)/2) between columns, the strict upper triangle row by row
    cross: Vector  # (rows, K) with the target
    lengths: Vector  # (rows, K)
    weight: Vector  # (rows,)


class EnsembleSpec(Frozen):
    """All that `predict` needs to make the same blend again.

    `tensors` are a composed blend's arrays. They have a file of their own, and the JSON only their
    digest.
    """

    format: Literal["ensembler-spec"] = FORMAT
    version: Literal[1] = VERSION
    dim: int = Field(ge=1)
    metric: Literal["mean_cosine"] = "mean_cosine"
    blend: WeightedSpec | ComposedSpec = Field(discriminator="kind")
    scores: Scores
    provenance: Provenance
    coreset: Coreset
    digest: Sha256  # of the canonical JSON of everything else
    tensors: Tensors | None = Field(default=None, exclude=True)

    @property
    def weighted(self) -> WeightedSpec:
        """The blend in plain weights: the spec's own, or what stands in for it."""
        return self.blend.fallback if isinstance(self.blend, ComposedSpec) else self.blend

    @property
    def seconds_per_image(self) -> float | None:
        """Seconds per image of all members together; None where those of one are unknown."""
        each = [member.origin.seconds_per_image for member in self.weighted.members]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known, 0.0) if len(known) == len(each) else None

    @model_validator(mode="after")
    def _sizes(self) -> EnsembleSpec:
        members, coreset = self.weighted.members, self.coreset
        place = "blend" if self.weighted is self.blend else "blend.fallback"
        columns = 1 + len(members)
        per_row = coreset.rows * columns
        sizes = [(f"{place}.prior.vector", self.weighted.prior.vector, self.dim)]
        sizes += [
            (f"{place}.members.{number}.mean", member.mean, self.dim)
            for number, member in enumerate(members)
            if member.mean is not None
        ]
        sizes += [
            ("coreset.cosines", coreset.cosines, per_row * (columns - 1) // 2),
            ("coreset.cross", coreset.cross, per_row),
            ("coreset.lengths", coreset.lengths, per_row),
            ("coreset.weight", coreset.weight, coreset.rows),
        ]
        for key, vector, size in sizes:
            numbers = decode_vector(vector).size
            if numbers != size:
                raise ValueError(f"{key} has {numbers} numbers instead of {size}")
        return self

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """The fields printed in place of 100 kB and more of vectors."""
        yield "score", round(self.scores.in_sample, 4)
        yield "held_out", self.scores.held_out and round(self.scores.held_out.score, 4)
        yield "members", len(self.weighted.members)
        yield "digest", self.digest[:12]

    def canonical(self) -> bytes:
        """The bytes of its file."""
        return canonical_json(self.model_dump(mode="json"))

    def digest_of_contents(self) -> str:
        """What `digest` must be: the sha256 of the canonical JSON of everything else."""
        return sha256_json(self.model_dump(mode="json", exclude={"digest"}))

    def save(self, path: str | Path) -> None:
        """Write the spec; the file appears whole or not at all, a composed blend's tensors before.

        The tensors of a spec that it replaces go afterwards, unless another spec there reads them.

        Args:
            path: the file to create or replace; its folder must exist.

        Raises:
            SpecError: the file cannot be written, or the digest does not fit the contents.
        """
        actual = self.tensors and self.tensors.sha256
        stated = self.blend.tensors if isinstance(self.blend, ComposedSpec) else None
        if self.digest != self.digest_of_contents() or actual != stated:
            raise SpecError(
                "the digest does not fit the spec's contents; make the changed spec with"
                " `ensembler.spec.loading.seal`"
            )
        replaced = named_tensors(Path(path))
        try:
            if self.tensors is not None:
                write_tensors(Path(path), self.tensors)
            with atomic_write(Path(path)) as file:
                file.write(self.canonical())
        except OSError as error:
            raise SpecError(
                f"{path} cannot be written ({error.strerror or error}); make room there, or name a"
                " file in a folder that can be written"
            ) from error
        if replaced is not None and replaced != stated:
            drop_tensors(Path(path), replaced)
