"""`ensembler store blend`: a member made of a blend, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ensembler.store.reader import Store

if TYPE_CHECKING:
    from tests.conftest import Run


def test_a_blend_becomes_a_member_of_a_new_store_that_can_be_fitted(
    ensembler: Run, oof: Path, tmp_path: Path
) -> None:
    stacked = tmp_path / "stacked"
    ran = ensembler("store", "blend", stacked, "all_of_them", "--of", oof, "--blender", "uniform")
    assert ran.code == 0, ran.err
    assert ran.out == "all_of_them: 985 rows of uniform, each by a fit without its fold\n"
    store = Store.open(stacked)
    assert store.names == ("all_of_them",)
    lengths = np.linalg.norm(store.member("all_of_them").embeddings, axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-6)
    ran = ensembler("store", "blend", stacked, "the_best", "--of", oof, "--blender", "single_best")
    assert ran.code == 0, ran.err
    assert Store.open(stacked).names == ("all_of_them", "the_best")


def test_an_unknown_blender_offers_the_nearest(ensembler: Run, oof: Path, tmp_path: Path) -> None:
    ran = ensembler("store", "blend", tmp_path / "new", "b", "--of", oof, "--blender", "weigthed")
    assert ran.code == 2
    assert "'weighted'" in ran.err
    assert not (tmp_path / "new").exists()


def test_what_no_fit_could_do_is_refused_before_any_work(
    ensembler: Run, oof: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_given: object, **_named: object) -> None:
        raise AssertionError

    monkeypatch.setattr("ensembler.fitting.preparing.fit_statistics", work)
    ran = ensembler("store", "blend", tmp_path / "new", "b", "--of", oof, "--blender", "fixed")
    assert ran.code == 2
    assert 'or a study with weights = "fixed"' in ran.err
    assert not (tmp_path / "new").exists()


def test_a_store_of_other_samples_is_refused(ensembler: Run, oof: Path, tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text("id\na\nb\nc\n")
    assert ensembler("store", "create", tmp_path / "other", tmp_path / "samples.csv").code == 0
    ran = ensembler("store", "blend", tmp_path / "other", "b", "--of", oof, "--blender", "uniform")
    assert ran.code == 2
    assert "other samples" in ran.err
