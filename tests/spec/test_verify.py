"""Holding a spec against stores: the one it came from, and others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ensembler import api
from ensembler.errors import StoreError
from ensembler.search.definition import StudyDefinition
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.numbers import encode_vector
from ensembler.spec.verify import verify
from ensembler.store.reader import Store
from ensembler.store.writer import add_member, remove_member

Make = Callable[..., Any]


class Fitted(NamedTuple):
    """What tests/conftest.py gives as `fitted_oof`."""

    spec: Path
    result: api.FitResult


@pytest.fixture(scope="module")
def spec(small: Store) -> EnsembleSpec:
    return api.fit(small, study=StudyDefinition(trials=12, validation="none")).spec


@pytest.fixture
def copied(small: Store, tmp_path: Path) -> Path:
    """A copy of the store that a test may change."""
    return Path(shutil.copytree(small.path, tmp_path / "oof"))


def replace_member(store: Path, name: str, vectors: np.ndarray[Any, Any]) -> None:
    remove_member(store, name)
    ids = Store.open(store).samples.id
    np.savez(store.parent / "new", id=ids, embeddings=vectors)
    add_member(store, name, [store.parent / "new.npz"])


def test_a_spec_verifies_on_its_own_store(fitted_oof: Fitted, oof: Path) -> None:
    found = verify(fitted_oof.result.spec, Store.open(oof))
    assert found.findings == ()
    assert found.score == fitted_oof.result.score


def test_a_member_with_other_embeddings_is_found_and_scored(
    spec: EnsembleSpec, copied: Path
) -> None:
    noise = np.random.default_rng(0).normal(size=(120, 12)).astype(np.float32)
    replace_member(copied, "m1", noise)
    found = verify(spec, Store.open(copied))
    changed, mean, moved = found.findings
    assert changed == "member 'm1' holds other embeddings than the weights were fitted on"
    assert mean == "the mean of member 'm1' is not that of its rows in this store"
    assert found.score is not None
    assert moved == (
        f"the blend scores {found.score:.7f}, the spec says {spec.scores.in_sample:.7f}"
    )


def test_embeddings_edited_behind_the_manifests_back_are_found(
    spec: EnsembleSpec, copied: Path
) -> None:
    file = copied / "members" / "m0" / "embeddings.npy"
    np.save(file, np.load(file)[::-1].copy())
    altered, moved = verify(spec, Store.open(copied)).findings
    assert altered == "the files of member 'm0' were changed after they were written"
    assert moved.startswith("the blend scores ")


def test_nan_written_behind_the_manifests_back_is_found_in_files_and_mean(
    spec: EnsembleSpec, copied: Path
) -> None:
    file = copied / "members" / "m0" / "embeddings.npy"
    vectors = np.load(file)
    vectors[3] = np.nan
    np.save(file, vectors)
    altered, mean, _ = verify(spec, Store.open(copied)).findings
    assert altered == "the files of member 'm0' were changed after they were written"
    assert mean == "the mean of member 'm0' is not that of its rows in this store"


def test_targets_edited_behind_the_manifests_back_are_found(
    spec: EnsembleSpec, copied: Path
) -> None:
    file = copied / "targets.npy"
    targets = np.load(file)
    targets[[0, 1]] = targets[[1, 0]]  # the prior stays
    np.save(file, targets)
    findings = verify(spec, Store.open(copied)).findings
    assert findings[0] == "targets.npy was changed after it was written; restore it from a copy"


def test_a_mean_that_is_not_the_members_is_found_by_itself(
    spec: EnsembleSpec, small: Store
) -> None:
    first = spec.weighted.members[0]
    vectors = small.member(first.name).embeddings.astype(np.float64)
    true = vectors.mean(axis=0)
    size = np.linalg.norm(vectors, axis=1).mean()
    for shift, differs in ((0.1e-6, False), (3e-6, True)):
        mean = true + np.eye(len(true))[0] * shift * size
        member = first.model_copy(update={"mean": encode_vector(mean)})
        blend = spec.blend.model_copy(update={"members": (member, *spec.weighted.members[1:])})
        findings = verify(spec.model_copy(update={"blend": blend}), small).findings
        assert (f"the mean of member {first.name!r} is not that" in "".join(findings)) == differs


def test_a_missing_member_is_found_and_nothing_scored(spec: EnsembleSpec, copied: Path) -> None:
    remove_member(copied, "m2")
    found = verify(spec, Store.open(copied))
    assert found.findings == ("the store lacks member 'm2'",)
    assert found.score is None


def test_other_targets_are_found_by_the_prior(
    spec: EnsembleSpec, generate: Make, write_store: Make
) -> None:
    data = generate("partial", rows=120, members=4)
    other = write_store(data.targets[::-1] * [-1.0] * 12, data.members, groups=data.groups)
    found = verify(spec, other)
    assert found.findings[-1] == "the prior is not the mean target of this store"
    assert found.score is None


def test_a_store_of_two_groups_is_a_finding_not_a_crash(
    spec: EnsembleSpec, generate: Make, write_store: Make
) -> None:
    data = generate("partial", rows=120, members=4)
    groups = ["left", "right"] * 60
    found = verify(spec, write_store(data.targets, data.members, groups=groups))
    assert found.findings[-1].startswith("the store cannot score it: 2 groups are too few")


def test_a_store_without_targets_is_refused(
    spec: EnsembleSpec, generate: Make, write_store: Make
) -> None:
    data = generate("partial", rows=120, members=4)
    with pytest.raises(StoreError, match="has no targets"):
        verify(spec, write_store(None, data.members, rows=120))
