"""Stores of test embeddings, specs made by hand, and the blend as a page of arithmetic gives it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blending.apply import WeightedSum
from ensembler.spec.loading import seal
from ensembler.spec.model import Coreset, EnsembleSpec, Provenance, Scores
from ensembler.spec.numbers import Norm, encode_vector
from ensembler.spec.weighted import MemberSpec, PriorSpec, WeightedSpec
from ensembler.store.create import create_store
from ensembler.store.model import Dtype, Origin
from ensembler.store.reader import Store
from ensembler.store.writer import add_member

Vectors = NDArray[np.float32]
NORMS: Mapping[float, Norm] = {0.0: "none", 1.0: "l2"}


class NaiveRow(NamedTuple):
    vector: list[float]
    absent: bool
    cancelled: bool


def _length(vector: Sequence[float]) -> float:
    return math.sqrt(math.fsum(x * x for x in vector))


def _naive_row(blend: WeightedSum, prior: Sequence[float], rows: Sequence[Vectors]) -> NaiveRow:
    total = [blend.prior_weight * p for p in prior]
    parts, absent = abs(blend.prior_weight) * _length(prior), True
    for m, row in enumerate(rows):
        e = [float(x) for x in row]
        mean = [0.0] * len(e) if blend.means is None else [float(x) for x in blend.means[m]]
        x = [a - b for a, b in zip(e, mean, strict=True)]
        size = _length(x)
        if blend.weights[m] == 0.0 or _length(e) == 0.0:
            continue
        if size <= 1e-6 * (_length(e) + _length(mean)):
            continue
        absent = False
        factor = float(blend.weights[m]) * math.pow(size, -float(blend.alphas[m]))
        total = [t + factor * v for t, v in zip(total, x, strict=True)]
        parts += abs(factor) * size
    length = _length(total)
    cancelled = not absent and length <= 1e-6 * parts
    if absent:
        total, length = list(prior), _length(prior)
    return NaiveRow([0.0 if cancelled else t / length for t in total], absent, cancelled)


@pytest.fixture
def naive_row() -> Callable[[WeightedSum, Sequence[float], Sequence[Vectors]], NaiveRow]:
    """One row of a blend in plain Python, exactly summed."""
    return _naive_row


@pytest.fixture
def make_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Store]:
    """`make_store(ids, {name: (n, d) array}, dtype="float32")`; zero rows are not stored."""

    def make(ids: Sequence[str], members: Mapping[str, Vectors], dtype: Dtype = "float32") -> Store:
        beside = tmp_path_factory.mktemp("store")
        folder, samples = beside / "oof", beside / "samples.csv"
        samples.write_text("imgId\n" + "".join(f"{name}\n" for name in ids))
        create_store(folder, samples)
        for name, vectors in members.items():
            present = vectors.any(axis=1)
            file, listed = beside / f"{name}.npy", beside / f"{name}.txt"
            np.save(file, vectors[present])
            listed.write_text("".join(f"{row}\n" for row in np.array(ids)[present]))
            add_member(folder, name, [file], ids=[listed], dtype=dtype)
        return Store.open(folder)

    return make


@pytest.fixture
def make_spec() -> Callable[..., EnsembleSpec]:
    """`make_spec(names, blend, prior, coreset=None, origins=())` seals a spec around a blend."""

    def make(
        names: Sequence[str],
        blend: WeightedSum,
        prior: NDArray[np.floating],
        coreset: Coreset | None = None,
        origins: Sequence[Origin] = (),
    ) -> EnsembleSpec:
        members = tuple(
            MemberSpec(
                name=name,
                sha256="0" * 64,
                weight=float(blend.weights[m]),
                norm=NORMS.get(float(blend.alphas[m]), "power"),
                alpha=float(blend.alphas[m]),
                mean=None if blend.means is None else encode_vector(blend.means[m]),
                origin=origins[m] if origins else Origin(),
            )
            for m, name in enumerate(names)
        )
        columns = 1 + len(names)
        return seal(
            dim=len(prior),
            blend=WeightedSpec(
                centred=blend.means is not None,
                prior=PriorSpec(weight=blend.prior_weight, vector=encode_vector(prior)),
                members=members,
            ),
            scores=Scores(
                in_sample=0.5,
                held_out=None,
                baselines=None,
                members={},
                prior_share=1.0,
                rows=1,
                groups=1,
                folds=1,
            ),
            provenance=Provenance(
                store="0" * 64, encoder=None, study={}, seed=0, trials=1, versions={}
            ),
            coreset=coreset
            or Coreset(
                rows=1,
                cosines=encode_vector(np.zeros(columns * (columns - 1) // 2)),
                cross=encode_vector(np.ones(columns)),
                lengths=encode_vector(np.ones(columns)),
                weight=encode_vector(np.ones(1)),
            ),
        )

    return make
