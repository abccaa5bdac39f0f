from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.store import summary
from ensembler.store.create import create_store
from ensembler.store.reader import Store
from ensembler.store.summary import summarise_store
from ensembler.store.writer import add_member


def naive_mean_cosine(
    vectors: NDArray[np.floating], targets: NDArray[np.floating], weight: list[float]
) -> float:
    total = mass = 0.0
    for vector, target, share in zip(vectors.tolist(), targets.tolist(), weight, strict=True):
        length = sum(v * v for v in vector) ** 0.5
        if length > 0.0:
            across = sum(v * t for v, t in zip(vector, target, strict=True))
            total += share * across / (length * sum(t * t for t in target) ** 0.5)
            mass += share
    return total / mass


def test_alone_is_the_weighted_mean_cosine_of_the_rows_a_member_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    targets, vectors = rng.normal(size=(2, 8, 3))
    vectors[3] = 0.0
    weight = [1.0, 2.0, 0.0, 1.0, 5.0, 1.0, 1.0, 0.5]
    np.save(tmp_path / "t.npy", targets)
    lines = [f"i{row},{share}" for row, share in enumerate(weight)]
    (tmp_path / "s.csv").write_text("id,weight\n" + "\n".join(lines) + "\n")
    path = create_store(tmp_path / "st", tmp_path / "s.csv", targets=tmp_path / "t.npy").path
    np.savez(tmp_path / "v.npz", ids=[f"i{n}" for n in range(7)], embeddings=vectors[:7])
    add_member(path, "m", [tmp_path / "v.npz"])
    monkeypatch.setattr(summary, "BLOCK_NUMBERS", 6)  # two rows a block
    (member,) = summarise_store(path).members
    assert member.alone == pytest.approx(
        naive_mean_cosine(vectors[:7], targets[:7], weight[:7]), abs=1e-6
    )
    assert (member.rows, member.zero_rows, member.coverage) == (7, 1, 6 / 8)


def test_a_store_is_counted_by_fold_group_and_source(store: Store) -> None:
    found = summarise_store(store.path)
    assert (found.samples, found.groups, found.dim, found.targets) == (9, 9, 4, True)
    assert found.folds == {0: 3, 1: 3, 2: 3}
    assert found.sources == {"s0": 5, "s1": 4}
    assert found.digest == store.digest
    assert (found.prompts, found.weights, found.encoder, found.members) == (False, False, None, ())


def test_without_targets_no_member_has_a_score(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id\na\n")
    path = create_store(tmp_path / "st", tmp_path / "s.csv").path
    np.savez(tmp_path / "v.npz", ids=["a"], embeddings=np.ones((1, 2)))
    add_member(path, "m", [tmp_path / "v.npz"])
    (member,) = summarise_store(path).members
    assert member.alone is None
