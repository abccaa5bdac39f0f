"""Small generated worlds of members and targets, for tests of blenders."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blending.build import build_statistics
from ensembler.fitting.inputs import make_space
from ensembler.metrics import unit_rows
from ensembler.search.definition import StudyDefinition
from ensembler.store.corpus import Corpus
from ensembler.store.create import create_store
from ensembler.store.writer import add_member

GROUPS, FOLDS, DIM, MEMBERS = 24, 4, 12, 4
TIMES = 4  # rows in a group
UNCOVERED = 5  # a row that no member has

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class World:
    """The content of a store with n rows.

    Attributes:
        samples: id, group, source, fold and weight → n values as text.
        targets: (n, d) float32 of unit length.
        members: name → (n, d) float32; a zero row is one that the member lacks.
    """

    samples: Mapping[str, Sequence[str]]
    targets: Vectors
    members: Mapping[str, Vectors]

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def ids(self) -> Sequence[str]:
        """The rows' ids."""
        return self.samples["id"]

    @property
    def digest(self) -> bytes:
        """A digest of the content, the same for equal worlds."""
        whole = hashlib.sha256(repr(self.samples).encode())
        for name, vectors in {"targets": self.targets, **self.members}.items():
            whole.update(name.encode() + vectors.tobytes())
        return whole.digest()

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> World:
        """The world of some of the rows, each once, in the given order."""
        return World(
            samples={key: [values[row] for row in rows] for key, values in self.samples.items()},
            targets=self.targets[rows],
            members={name: vectors[rows] for name, vectors in self.members.items()},
        )

    def with_members(self, members: Mapping[str, Vectors]) -> World:
        """The same samples with other members, or with the same members in another order."""
        return replace(self, members=dict(members))

    def with_weight(self, weight: Callable[[str], float]) -> World:
        """The same rows, each weighted by its id."""
        return replace(
            self, samples={**self.samples, "weight": [str(weight(name)) for name in self.ids]}
        )

    def data(self, folder: Path) -> Data:
        """The world as blenders see it, with a study of the baselines alone.

        Args:
            folder: an empty folder for the store and its statistics.
        """
        with (folder / "samples.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(self.samples)
            table.writerows(zip(*self.samples.values(), strict=True))
        np.save(folder / "targets.npy", self.targets)
        store = create_store(folder / "oof", folder / "samples.csv", targets=folder / "targets.npy")
        for name, vectors in self.members.items():
            present = vectors.any(axis=1)
            ids = np.array(self.ids)[present]
            np.savez(folder / name, id=ids, embeddings=vectors[present])
            add_member(folder / "oof", name, [folder / f"{name}.npz"])
        store = type(store).open(folder / "oof")
        (folder / "statistics").mkdir()
        return Data(
            store=store,
            statistics=build_statistics(
                folder / "statistics",
                [store.member(name) for name in self.members],
                store.targets(),
                store.samples.fold,
                store.samples.weight,
            ),
            space=make_space(StudyDefinition(trials=1), store),
            corpus=_corpus(),
        )


def make_world() -> World:
    """Make a world whose members are the targets with a bias and noise of their own.

    Their lengths differ, one lacks every third row, and one row has no member.
    """
    rng = np.random.default_rng(20)
    group = np.repeat(np.arange(GROUPS), TIMES)
    targets = _prompts(rng, GROUPS)[group]
    members = {}
    for m in range(MEMBERS):
        noise = rng.normal(size=targets.shape) * (0.5 + 0.2 * m) / np.sqrt(DIM)
        bias = rng.normal(size=DIM) / np.sqrt(DIM)
        length = rng.uniform(0.5, 2.0, (len(group), 1)) * 3.0**m
        members[f"m{m}"] = ((targets + bias + noise) * length).astype(np.float32)
    members["m2"][::3] = 0.0
    for vectors in members.values():
        vectors[UNCOVERED] = 0.0
    return World(
        samples={
            "id": [f"s{row:03}" for row in range(len(group))],
            "group": [f"g{g:02}" for g in group],
            "source": [("drawn", "painted")[row % 2] for row in range(len(group))],
            "fold": [str(g % FOLDS) for g in group],
            "weight": ["1"] * len(group),
        },
        targets=targets.astype(np.float32),
        members=members,
    )


def make_echoed_world() -> World:
    """Make a world that holds every row twice: with the same members' vectors, but other targets.

    The members' means are those of either half, whatever rows are weighted or written twice. The
    ids of the second half begin with "e"; its groups are those of the first.
    """
    world = make_world()
    noise = np.random.default_rng(21).normal(size=world.targets.shape) / np.sqrt(4 * DIM)
    ids = [*world.ids, *(name.replace("s", "e") for name in world.ids)]
    return World(
        samples={key: [*values, *values] for key, values in world.samples.items()} | {"id": ids},
        targets=np.concatenate([world.targets, unit_rows(world.targets + noise)]).astype(
            np.float32
        ),
        members={name: np.concatenate([v, v]) for name, v in world.members.items()},
    )


def _prompts(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Unit targets, (count, d), that share a direction and vary more along some axes."""
    spread = np.linspace(1.5, 0.2, DIM)
    return unit_rows(rng.normal(size=(count, DIM)) * spread + 0.5)


def _corpus() -> Corpus:
    prompts = _prompts(np.random.default_rng(22), 500)
    mean = prompts.mean(axis=0)
    covariance = (prompts - mean).T @ (prompts - mean) / len(prompts)
    return Corpus(mean=mean, covariance=covariance, prompts=len(prompts), encoder="drawn")
