"""`ensembler fit --blender`: other blends than plain weights, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ensembler.spec.loading import load_spec
from ensembler.store.corpus import save_corpus
from ensembler.store.model import EncoderRecord
from ensembler.store.reader import SAMPLES, TARGETS

if TYPE_CHECKING:
    from ensembler.store.reader import Store
    from tests.conftest import Run

QUICK = ("--trials", 12)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_chain_is_fitted_frozen_verified_and_replayed(ensembler: Run, small: Store) -> None:
    ran = ensembler("fit", small.path, *QUICK, "--blender", "gated+ridge+gains", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["blender"] == "gated+ridge+gains"
    assert found["held_out"]["score"] < found["score"]
    assert load_spec("ensemble.json").provenance.study["blender"] == "gated+ridge+gains"
    assert ensembler("spec", "verify", "ensemble.json", "--store", small.path).code == 0
    assert ensembler("predict", small.path, "--out", "submission.csv").code == 0


def test_the_chosen_blender_is_the_one_that_its_table_marks(ensembler: Run, small: Store) -> None:
    ran = ensembler("fit", small.path, *QUICK, "--blender", "auto")
    assert ran.code == 0, ran.err
    marked = [line.split()[0] for line in ran.out.splitlines() if "* " in line[:30]]
    made_by = load_spec("ensemble.json").provenance.study.get("blender", "weighted")
    assert marked[:1] == [made_by]


def test_a_choice_says_that_its_own_scores_made_it(ensembler: Run, small: Store) -> None:
    assert ensembler("fit", small.path, *QUICK, "--blender", "auto").code == 0
    among = load_spec("ensemble.json").provenance.study["chosen_among"]
    assert {"weighted", "gated+gains"} <= set(among)
    shown = " ".join(ensembler("spec", "show", "ensemble.json").out.split())
    assert f"the choice of the blender among {len(among)} was made by these scores" in shown
    score = load_spec("ensemble.json").provenance.study["choice_held_out"]
    assert f"chosen anew by the others' scores (of fits that saw the fold): {score:.4f}." in shown


def test_a_composed_fit_names_both_files_that_it_wrote(ensembler: Run, small: Store) -> None:
    ran = ensembler("fit", small.path, *QUICK, "--blender", "gated", "--spec", "k.json")
    (sidecar,) = Path().glob("*.safetensors")
    assert "wrote k.json" in ran.out
    assert ran.out.rstrip().endswith(f"and, which belongs to it, {sidecar}")


def test_a_corpus_that_no_blender_reads_is_not_recorded(ensembler: Run, small: Store) -> None:
    mean, encoder = np.zeros(small.targets().shape[1]), EncoderRecord(name="drawn", sha256="0" * 64)
    save_corpus(
        "c.safetensors", mean=mean, covariance=np.eye(len(mean)), prompts=9, encoder=encoder
    )
    for blender, recorded in (("gated", False), ("gains", True)):
        given = ("--blender", blender, "--corpus", "c.safetensors")
        assert ensembler("fit", small.path, *QUICK, *given).code == 0
        spec = load_spec("ensemble.json")
        assert ("corpus" in spec.provenance.study) == recorded
        assert ("corpus: " in ensembler("spec", "show", "ensemble.json").out) == recorded


def test_a_blend_of_plain_weights_is_fitted_without_the_studys_search(
    ensembler: Run, small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_given: object, **_named: object) -> None:
        raise AssertionError

    monkeypatch.setattr("ensembler.fitting.searched.search", work)
    for blender in ("greedy", "weighted:shrinkage=0.5"):
        ran = ensembler("fit", small.path, *QUICK, "--blender", blender, "--json")
        assert ran.code == 0, ran.err
        found = json.loads(ran.out)
        assert (found["trials"], found["held_out"]["score"] < found["score"]) == (0, True)
        assert {one["loss_without"] for one in found["members"].values()} == {None}
        shown = ensembler("spec", "show", "ensemble.json").out
        assert "\nstudy 'default'.\n" in shown
        assert "held out: the whole fit repeated without each of 5 folds" in shown


def test_trials_of_a_composed_blend_are_those_of_the_weights_that_stand_in(
    ensembler: Run, small: Store
) -> None:
    ran = ensembler("fit", small.path, *QUICK, "--blender", "gated")
    said = "trials, loss without: of the plain weights that stand in for the blend"
    assert "12 trials of study 'default'." in ran.out
    assert said in " ".join(ran.out.split())


def test_plain_weights_by_name_are_the_plain_fit(ensembler: Run, small: Store) -> None:
    assert ensembler("fit", small.path, *QUICK, "--spec", "plain.json").code == 0
    named = ("--blender", "weighted", "--spec", "named.json")
    assert ensembler("fit", small.path, *QUICK, *named).code == 0
    assert Path("plain.json").read_bytes() == Path("named.json").read_bytes()


def test_a_fit_for_another_mix_says_so_and_verifies(ensembler: Run, oof: Path) -> None:
    mix = ("--target-mix", "sd=3", "--target-mix", "sdxl=1")
    ran = ensembler("fit", oof, *QUICK, *mix, "--json")
    assert ran.code == 0, ran.err
    assert load_spec("ensemble.json").provenance.study["target_mix"] == {"sd": 3.0, "sdxl": 1.0}
    shown = ensembler("spec", "show", "ensemble.json").out
    assert "All scores are for the mix of sources sd=3, sdxl=1;" in shown
    assert ensembler("spec", "verify", "ensemble.json", "--store", oof).code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--blender", "gatd"), "'gated'"),
        (("--blender", "ridge+uniform"), "stands on no other"),
        (("--target-mix", "sdlx=1"), "'sdxl'"),
        (("--target-mix", "sd"), "source=weight"),
        (("--budget", "soon"), "'soon' is not a duration; give one like 1.2s"),
        (("--budget", "1s", "--blender", "ridge"), "weighted:budget=1+gains"),
        (("--blender", "weighted:budget=1+gains"), "seconds per image"),
        (("--budget", "1s"), "`ensembler store add --seconds-per-image`"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_remedy(
    ensembler: Run, oof: Path, options: tuple[str, ...], said: str
) -> None:
    ran = ensembler("fit", oof, *options)
    assert ran.code == 2
    assert said in ran.err
    assert not Path("ensemble.json").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--budget", "1s"), "no seconds per image are known"),
        (("--blender", "fixed"), 'or a study with weights = "fixed"'),
        (("--blender", "nested(greedy, fixed)+gains"), "there are no weights to replay"),
    ],
)
def test_what_no_fit_could_do_is_refused_before_any_work(
    ensembler: Run,
    oof: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    said: str,
) -> None:
    def work(*_given: object, **_named: object) -> None:
        raise AssertionError

    monkeypatch.setattr("ensembler.fitting.preparing.fit_statistics", work)
    ran = ensembler("fit", oof, *options)
    assert ran.code == 2
    assert said in ran.err
    assert not list(Path().iterdir())


def test_a_fit_that_fails_before_its_first_trial_leaves_no_journal(
    ensembler: Run, small: Store
) -> None:
    ran = ensembler("fit", small.path, *QUICK, "--blender", "gains+gated")
    assert ran.code == 2
    assert "put gated before it" in ran.err
    assert not list(Path().iterdir())


def test_seconds_given_when_members_are_added_are_what_a_budget_goes_by(
    ensembler: Run, small: Store
) -> None:
    made = ("store", "create", "timed", small.path / SAMPLES, "--targets", small.path / TARGETS)
    assert ensembler(*made).code == 0
    for number, member in enumerate(small.members()):
        np.savez("v.npz", id=small.samples.id[member.rows], embeddings=member.embeddings)
        seconds = ("--seconds-per-image", 0.5 + number, "--json")
        added = ensembler("store", "add", "timed", member.name, "v.npz", *seconds)
        assert json.loads(added.out)["seconds_per_image"] == 0.5 + number
    ran = ensembler("fit", "timed", *QUICK, "--budget", "2.2s", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    used = {name for name, one in found["members"].items() if one["weight"]}
    assert used
    taken = sum(0.5 + number for number, name in enumerate(small.names) if name in used)
    assert taken <= 2.2
    assert found["seconds_per_image"] == pytest.approx(taken)
    shown = ensembler("spec", "show", "ensemble.json").out
    assert f"The members take {taken:g} s per image together." in shown
    refused = ensembler("store", "add", "timed", "m9", "v.npz", "--seconds-per-image", 0)
    assert refused.code == 2


def test_a_choice_needs_held_out_scores(ensembler: Run, small: Store) -> None:
    Path("quick.toml").write_text('validation = "none"\n')
    ran = ensembler("fit", small.path, "--study", "quick.toml", "--blender", "auto")
    assert ran.code == 2
    assert "held-out scores" in ran.err
    named = ensembler("fit", small.path, "--study", "quick.toml", "--blender", "gains", "--json")
    assert named.code == 0, named.err
    assert json.loads(named.out)["held_out"] is None
