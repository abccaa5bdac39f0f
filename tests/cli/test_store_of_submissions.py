"""Old submissions as members of a store without targets, blended by their public scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from ensembler.cli.main import cli
from ensembler.errors import InputError, StoreError, StudyError
from ensembler.inference.submission import write_submission
from ensembler.store.importing.long_layout import read_long

IDS = ["20057f34d", "92e911621", "a_b", "007"]
PUBLIC = {"lb_0.560": 0.560, "lb_0.541": 0.541}
STUDY = """centring = "off"
prior = false
norms = ["l2"]
weights = "fixed"

[fixed]
"lb_0.560" = 0.560
"lb_0.541" = 0.541
"""

Vectors = NDArray[np.float32]


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def submitted() -> dict[str, Vectors]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(len(IDS), 6)).astype(np.float32) for name in PUBLIC}


@pytest.fixture
def store(tmp_path: Path, submitted: dict[str, Vectors], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of test embeddings whose members are submissions, each in an order of its own."""
    monkeypatch.chdir(tmp_path)
    Path("test.csv").write_text("imgId\n" + "\n".join(IDS) + "\n")
    Path("blend.toml").write_text(STUDY)
    assert invoke("store", "create", "test", "test.csv").exit_code == 0
    for shift, (name, vectors) in enumerate(submitted.items()):
        order = np.roll(np.arange(len(IDS)), shift)
        write_submission(f"{name}.csv", np.array(IDS)[order], vectors[order])
        assert invoke("store", "add", "test", name, f"{name}.csv").exit_code == 0
    return Path("test")


def test_public_scores_weigh_unit_rows_joined_by_id(
    store: Path, submitted: dict[str, Vectors]
) -> None:
    assert invoke("store", "audit", store).exit_code == 0
    done = invoke("predict", store, "--spec", "blend.toml", "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert (report["members"], report["digest"]) == (list(PUBLIC), None)
    written = read_long(Path("submission.csv"))
    for id_, row in zip(written.ids.tolist(), written.vectors, strict=True):
        naive = np.zeros(6)
        for name, score in PUBLIC.items():
            vector = submitted[name][IDS.index(id_)].astype(np.float64)
            naive += score * vector / np.sqrt((vector**2).sum())
        np.testing.assert_allclose(row, naive / np.sqrt((naive**2).sum()), atol=1e-6)


def test_a_group_of_submissions_shares_its_weight(
    store: Path, submitted: dict[str, Vectors]
) -> None:
    Path("groups.toml").write_text(
        STUDY.partition("[fixed]")[0] + '[members]\nall = ["lb_*"]\n\n[fixed]\nall = 3.0\n'
    )
    assert invoke("predict", store, "--spec", "groups.toml").exit_code == 0
    units = [v / np.linalg.norm(v.astype(np.float64), axis=1)[:, None] for v in submitted.values()]
    naive = sum(units) / np.linalg.norm(sum(units), axis=1)[:, None]
    written = read_long(Path("submission.csv"))
    order = [IDS.index(id_) for id_ in written.ids.tolist()]
    np.testing.assert_allclose(written.vectors, naive[order], atol=1e-6)


def test_a_fit_without_targets_says_what_needs_none(store: Path) -> None:
    with pytest.raises(StoreError, match=r"no targets .*without a fit: `ensembler predict --spec"):
        invoke("fit", store, "--study", "blend.toml")
    assert not Path("ensemble.json").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('centring = "off"', "", r"leaves nothing open .*: set centring = \"off\"; or fit it"),
        ("prior = false", "", "set prior = false; or fit"),
        ('norms = ["l2"]', "", r"set norms = \[\"l2\"\] or \[\"none\"\]; or fit"),
        ('"lb_0.560" =', '"lb_0.56" =', "no group or member named 'lb_0.56'; did you mean"),
    ],
)
def test_a_study_that_targets_must_settle_is_refused_naming_the_setting(
    store: Path, old: str, new: str, message: str
) -> None:
    Path("blend.toml").write_text(STUDY.replace(old, new))
    with pytest.raises(StudyError, match=message):
        invoke("predict", store, "--spec", "blend.toml")
    assert not Path("submission.csv").exists()


def test_a_searching_study_is_no_blend(store: Path) -> None:
    Path("search.toml").write_text('centring = "off"\n')
    with pytest.raises(StudyError, match=r"set weights = \"fixed\", prior = false, norms"):
        invoke("predict", store, "--spec", "search.toml")


def test_a_row_that_no_member_covers_is_named(store: Path, submitted: dict[str, Vectors]) -> None:
    for name in PUBLIC:
        invoke("store", "remove", store, name)
        write_submission(f"{name}.csv", np.array(IDS[1:]), submitted[name][1:])
        invoke("store", "add", store, name, f"{name}.csv")
    message = (
        r"1 of 4 rows have no member, .*\(ids 20057f34d\), and without a fit there is no prior"
    )
    with pytest.raises(StoreError, match=message):
        invoke("predict", store, "--spec", "blend.toml")


def test_a_folder_of_images_cannot_be_blended_by_a_study(store: Path) -> None:
    (store.parent / "images").mkdir()
    with pytest.raises(InputError, match="a study says nothing of how to embed images"):
        invoke("predict", "images", "--spec", "blend.toml")
