"""Real images, a real tower: curated, trained, dumped, blended, applied to what was held back.

A fifth of the images and one tower, for time; `python -m benchmarks.trained_towers` takes all of
them and two, and the README has its figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from benchmarks.sd_images import IMAGES
from benchmarks.trained_towers import (
    ALIKE,
    FOLDS,
    WHERE,
    curate,
    ensembler,
    fit_blends,
    predict_held_back,
    read_table,
    scored_table,
    train_heads,
    trained_table,
    tune_fold,
)
from ensembler.metrics import paired_cosine
from ensembler.scoring.intervals import GroupBootstrap
from ensembler.store.encoder import load_encoder
from ensembler.store.reader import Store
from ensembler.training.records import Finished, read_finished

pytestmark = pytest.mark.skipif(not IMAGES.is_dir(), reason="needs ../shared")

EVERY = 5  # of the images
PARTS = 8  # one in so many is held back
TOWER = "lite0"
HEADS = f"heads_{TOWER}"


class Made(NamedTuple):
    """What the path left in the current folder, as far as files do not tell.

    Attributes:
        held: ids of the images held back.
        vectors: of those, by blend and member.
        cosines: of those, with what their prompts mean.
    """

    held: list[str]
    vectors: Mapping[str, NDArray[np.float64]]
    cosines: Mapping[str, NDArray[np.float64]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """The whole path; the current folder holds it while the tests run."""
    rows = read_table(IMAGES / "prompts.csv")[::EVERY]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # torch's threads wait for each other where others want the cores
    with (
        pytest.MonkeyPatch.context() as patch,
        chdir(tmp_path_factory.mktemp("trained_towers")),
    ):
        patch.setenv("OMP_NUM_THREADS", "1")  # of predict's worker
        held = curate(rows, parts=PARTS)
        train_heads([TOWER], epochs=4)
        tune_fold(TOWER)
        fit_blends([TOWER])
        vectors = predict_held_back([TOWER], held)
        prompts = {row["imgId"]: row["prompt"] for row in rows}
        targets = load_encoder().encode([prompts[image] for image in held])
        cosines = {name: paired_cosine(one, targets) for name, one in vectors.items()}
        yield Made(held, vectors, cosines)
    torch.set_num_threads(threads)


def finished(name: str, fold: int) -> Finished:
    found = read_finished(Path(f"predictors/{name}/fold{fold}"))
    assert found is not None
    return found


def test_no_image_held_back_and_none_like_it_is_trained_on(made: Made) -> None:
    pool = read_table("pool.tsv")
    assert (len(pool), len(made.held)) == (172, 25)
    assert not set(made.held) & {row["image"] for row in pool}
    vectors = {
        row["image"]: one for row, one in zip(read_table("sound.csv"), embedded(), strict=True)
    }
    folds = {row["image"]: int(row["fold"]) for row in pool} | dict.fromkeys(made.held, FOLDS)
    fold = np.array([folds[image] for image in vectors])
    unit = np.stack([*vectors.values()])
    alike = unit @ unit.T >= ALIKE
    assert alike.sum() > len(unit)  # there are such pairs
    assert not alike[fold[:, None] != fold].any()


def embedded() -> NDArray[np.float64]:
    """What `data embed` made of the prompts."""
    found: NDArray[np.float64] = np.load("targets/embeddings-00000.npy").astype(np.float64)
    return found


@pytest.mark.usefixtures("made")
def test_features_are_computed_once_for_all_folds_and_epochs() -> None:
    (features,) = Path(f"predictors/{HEADS}").glob("features-*.npy")
    assert np.load(features).shape == (172, 1280)
    records = [finished(HEADS, fold).result for fold in range(FOLDS)]
    assert sum(one.held_out for one in records) == 172
    assert not [*Path(f"predictors/tuned_{TOWER}").glob("features-*")]


@pytest.mark.usefixtures("made")
def test_the_member_of_a_training_scores_what_each_fold_was_recorded_with() -> None:
    store = Store.open("oof")
    rows = store.member(HEADS).embeddings
    cosines = paired_cosine(np.asarray(rows), store.targets())
    for fold in range(FOLDS):
        mine = store.samples.fold == fold
        assert cosines[mine].mean() == pytest.approx(
            finished(HEADS, fold).result.best_score, abs=1e-4
        )


@pytest.mark.usefixtures("made")
def test_a_fold_goes_on_from_its_head_and_its_checkpoint_dumps_that_folds_rows() -> None:
    begun, tuned = (
        load_file(f"predictors/{name}/fold0/best.safetensors") for name in (HEADS, f"tuned_{TOWER}")
    )
    moved = {name for name in begun if not np.array_equal(begun[name], tuned[name])}
    assert {name for name in begun if name.startswith("head.")} <= moved
    assert "tower.conv_head.weight" in moved
    assert not [name for name in moved if name.startswith(("tower.conv_stem", "tower.blocks.0"))]
    definition = ("--predictor", f"predictors/tuned_{TOWER}/predictor.toml")
    ensembler("dump", "oof", "tuned", *definition, *WHERE, "--partial", "--batch", 8)
    store = Store.open("oof")
    member = store.member("tuned")
    assert (store.samples.fold[member.rows] == 0).all()
    cosines = paired_cosine(np.asarray(member.embeddings), store.targets()[member.rows])
    assert cosines.mean() == pytest.approx(
        finished(f"tuned_{TOWER}", 0).result.best_score, abs=1e-4
    )


def test_the_blend_beats_the_constant_mean_and_the_head_alone_beyond_noise(made: Made) -> None:
    bootstrap = GroupBootstrap(np.array(made.held), np.ones(len(made.held)), seed=0)
    ahead = {name: made.cosines["blend"] - one for name, one in made.cosines.items()}
    for name in ("constant", HEADS):
        assert bootstrap.interval(ahead[name])[0] > 0.0, name


def test_the_benchmarks_tables_tell_every_fold_and_every_blend_in_80_columns(made: Made) -> None:
    prompts = {row["imgId"]: row["prompt"] for row in read_table("prompts.csv")}
    trained = trained_table([TOWER]).splitlines()
    scored = scored_table([prompts[image] for image in made.held], made.vectors).splitlines()
    assert max(map(len, trained + scored)) <= 80
    assert [len(line.split()) for line in trained[2:]] == [FOLDS + 2, 3]  # one fold is tuned
    best = max(made.cosines, key=lambda name: made.cosines[name].mean())
    assert scored[2].split()[:2] == [best, f"{made.cosines[best].mean():.4f}"]
    assert {line.split()[0] for line in scored[2:-2]} == {*made.vectors}
