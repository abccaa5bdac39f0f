"""`ensembler spec verify`: 0 where all is as it was, 3 with findings, 2 for a changed spec."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ensembler.store.reader import Store
from ensembler.store.writer import add_member, remove_member

if TYPE_CHECKING:
    from tests.conftest import FittedOof, Run


@pytest.fixture
def changed(oof: Path, tmp_path: Path) -> Path:
    """The committed store with one member's rows in another order."""
    store = Path(shutil.copytree(oof, tmp_path / "oof"))
    member = Store.open(store).member("llava")
    ids = Store.open(store).samples.id[member.rows]
    np.savez(tmp_path / "new", id=ids, embeddings=member.embeddings[::-1].astype(np.float32))
    remove_member(store, "llava")
    add_member(store, "llava", [tmp_path / "new.npz"])
    return store


def test_a_spec_on_its_own_store_verifies(ensembler: Run, fitted_oof: FittedOof, oof: Path) -> None:
    ran = ensembler("spec", "verify", fitted_oof.spec, "--store", oof)
    score = fitted_oof.result.score
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"{fitted_oof.spec}: digest {fitted_oof.result.spec.digest[:12]} fits the contents\n"
        f"score on {oof}: {score:.7f} (the spec says {score:.7f})\n"
    )


def test_json_is_one_object(ensembler: Run, fitted_oof: FittedOof, oof: Path) -> None:
    ran = ensembler("spec", "verify", fitted_oof.spec, "--store", oof, "--json")
    assert ran.code == 0
    assert json.loads(ran.out) == {
        "digest": fitted_oof.result.spec.digest,
        "score": fitted_oof.result.score,
        "findings": [],
    }


def test_without_a_store_only_the_digest_is_checked(ensembler: Run, fitted_oof: FittedOof) -> None:
    ran = ensembler("spec", "verify", fitted_oof.spec, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["score"] is None


def test_a_store_with_a_changed_member_exits_3(
    ensembler: Run, fitted_oof: FittedOof, changed: Path
) -> None:
    ran = ensembler("spec", "verify", fitted_oof.spec, "--store", changed)
    assert (ran.code, ran.err) == (3, "")
    assert "member 'llava' holds other embeddings than the weights were fitted on" in ran.out
    ran = ensembler("spec", "verify", fitted_oof.spec, "--store", changed, "--json")
    assert ran.code == 3
    assert len(json.loads(ran.out)["findings"]) == 2


def test_a_spec_that_was_changed_exits_2(
    ensembler: Run, fitted_oof: FittedOof, tmp_path: Path
) -> None:
    text = fitted_oof.spec.read_text()
    (tmp_path / "changed.json").write_text(text.replace('"rows": 985', '"rows": 984', 1))
    ran = ensembler("spec", "verify", tmp_path / "changed.json")
    assert (ran.code, ran.out) == (2, "")
    assert "changed.json" in ran.err
