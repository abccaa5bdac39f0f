"""Small worlds of members and targets, and their scores by loops over rows in float64."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blending.build import Kernel, build_statistics
from ensembler.blending.problem import Problem, Selection
from ensembler.blending.statistics import HeldOut, Precision, Statistics
from ensembler.store.model import MemberRecord
from ensembler.store.reader import Member

Scale = Literal["unit", "spread", "tiny", "huge", "mixed"]
Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class World:
    """Members, targets, folds and row weights, all in memory.

    Attributes:
        embeddings: (M, n, d) float32; rows of zeros are absent.
        stored: the type that members are kept in.
    """

    embeddings: NDArray[np.float32]
    targets: NDArray[np.float32]
    fold: NDArray[np.int64]
    weight: Vector
    stored: Literal["float16", "float32"]
    folder: Callable[[], Path]

    def members(self) -> list[Member]:
        """Every other member keeps its zero rows, the rest leave them out."""
        return [self._member(m, vectors) for m, vectors in enumerate(self.embeddings)]

    def statistics(
        self,
        *,
        precision: Precision = "float32",
        kernel: Kernel = "numpy",
        jobs: int = 1,
        progress: Callable[[int], None] | None = None,
    ) -> Statistics:
        return build_statistics(
            self.folder(), self.members(), self.targets, self.fold, self.weight,
            precision=precision, kernel=kernel, jobs=jobs, progress=progress,
        )  # fmt: skip

    def problem(
        self,
        alphas: Sequence[float] | Vector | None = None,
        *,
        centred: bool = False,
        held_out: int | None = None,
        rows: NDArray[np.int64] | None = None,
        precision: Precision = "float32",
    ) -> Problem:
        selection = Selection(
            statistics=self.statistics(precision=precision),
            rows=np.arange(len(self.fold)) if rows is None else rows,
            held_out=held_out,
            centred=centred,
        )
        unit = np.ones(len(self.embeddings))
        return Problem(selection=selection, alphas=unit if alphas is None else np.array(alphas))

    def _member(self, m: int, vectors: NDArray[np.float32]) -> Member:
        kept = np.arange(len(vectors)) if m % 2 else np.flatnonzero(vectors.any(axis=1))
        record = MemberRecord(
            name=f"m{m}",
            rows=max(len(kept), 1),
            zero_rows=0,
            dim=vectors.shape[1],
            dtype=self.stored,
            sha256="0" * 64,
        )
        embeddings = vectors[kept].astype(self.stored)
        return Member(record=record, path=Path(f"m{m}"), rows=kept, embeddings=embeddings)


def _length(vector: Vector) -> float:
    return float(np.sqrt((vector * vector).sum()))


def _unit(vector: Vector) -> Vector:
    length = _length(vector)
    return vector / length if length > 0.0 else vector


def naive_prior(world: World, row: int, held_out: HeldOut) -> Vector:
    """The unit-length sum of the targets of all rows of other folds, those held out left out."""
    folds = held_out if isinstance(held_out, frozenset) else {held_out}
    total = np.zeros(world.targets.shape[1])
    for other in range(len(world.fold)):
        if world.fold[other] not in {world.fold[row], *folds}:
            total += world.weight[other] * _unit(world.targets[other].astype(np.float64))
    return _unit(total)


def naive_cosine(
    problem: Problem, world: World, weights: Sequence[float] | Vector, row: int, prior: Vector
) -> float:
    """One row's score: the blend added up vector by vector."""
    target = _unit(world.targets[row].astype(np.float64))
    total, parts, covered = weights[0] * prior, abs(weights[0]) * _length(prior), False
    for m, weight in enumerate(weights[1:]):
        stored = world.embeddings[m, row].astype(np.float64)
        mean = problem.selection.statistics.means[m].astype(np.float64) * problem.selection.centred
        x = stored - mean
        if weight == 0.0 or not stored.any():
            continue
        if _length(x) <= 1e-6 * (_length(stored) + _length(mean)):
            continue
        factor = weight * _length(x) ** -problem.alphas[m]
        total = total + factor * x
        parts += abs(factor) * _length(x)
        covered = True
    if not covered:
        return float(prior @ target)
    length = _length(total)
    return 0.0 if length <= 1e-6 * parts else float(total @ target) / length


def naive_cosines(problem: Problem, world: World, weights: Sequence[float] | Vector) -> Vector:
    """Every row's score."""
    return np.array(
        [
            naive_cosine(
                problem, world, weights, i, naive_prior(world, i, problem.selection.held_out)
            )
            for i in problem.selection.rows
        ]
    )


def naive_score(problem: Problem, world: World, weights: Sequence[float] | Vector) -> float:
    """The weighted mean of the rows' scores."""
    share = world.weight[problem.selection.rows]
    return float((share * naive_cosines(problem, world, weights)).sum() / share.sum())


@pytest.fixture(scope="session")
def oracle_score() -> Callable[..., float]:
    return naive_score


@pytest.fixture(scope="session")
def oracle_cosines() -> Callable[..., Vector]:
    return naive_cosines


@pytest.fixture(scope="session")
def oracle_prior() -> Callable[..., Vector]:
    return naive_prior


@pytest.fixture(scope="session")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., World]:
    """A world from a seed: members are their targets, a direction of their own, and noise."""

    def make(
        seed: int = 0,
        *,
        rows: int = 24,
        members: int = 3,
        dim: int = 12,
        folds: int = 4,
        scale: Scale = "unit",
        missing: float = 0.0,
        twins: float | None = None,
        weighted: bool = False,
        stored: Literal["float16", "float32"] = "float32",
    ) -> World:
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=dim)
        targets = rng.normal(size=(rows, dim)) + shared
        own = rng.normal(size=(members, 1, dim)) * rng.uniform(0.0, 3.0, (members, 1, 1))
        signal = rng.uniform(0.2, 1.0, (members, 1, 1))
        vectors = own + signal * targets + rng.normal(size=(members, rows, dim))
        if twins is not None:
            vectors[1:] = vectors[0] + twins * vectors[1:]
        vectors *= _scales(rng, scale, members, rows)
        vectors[rng.random((members, rows)) < missing] = 0.0
        if missing:
            vectors[:, rng.integers(rows)] = 0.0
        return World(
            embeddings=vectors.astype(stored).astype(np.float32),
            targets=(targets * rng.uniform(0.5, 2.0, (rows, 1))).astype(np.float32),
            fold=rng.permutation(np.arange(rows) % folds),
            weight=rng.uniform(0.1, 3.0, rows) if weighted else np.ones(rows),
            stored=stored,
            folder=lambda: tmp_path_factory.mktemp("statistics"),
        )

    return make


def _scales(rng: np.random.Generator, scale: Scale, members: int, rows: int) -> Vector:
    """(M, n, 1) what each vector's length is multiplied by."""
    shape = (members, rows, 1)
    if scale == "spread":  # 1e4 between members, and again between rows
        return 10.0 ** (rng.uniform(-2, 2, (members, 1, 1)) + rng.uniform(-2, 2, shape))
    if scale == "mixed":
        return rng.choice([1e-20, 1.0, 1e20], shape)
    return np.full(shape, {"unit": 1.0, "tiny": 1e-20, "huge": 1e20}[scale])
