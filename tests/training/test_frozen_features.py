"""A tower that is never trained is asked once about each image, whatever the epochs and folds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from ensembler.images.decode import decode
from predictors.shared.training import frozen_features, loading

HERE = Path(__file__).parent
IMAGES = 22  # of the table
ALL_WARM = {"epochs": 3, "warmup": {"epochs": 3, "lr": 1e-2}}
FROZEN = {"epochs": 3, "freeze": 1.0}
WIDE = {  # whose tower has BatchNorms, which must not see the batches
    "model": "test_resnet.r160_in1k",
    "image_size": 32,
    "head": {"kind": "wide", "dim": 6, "hidden": [8]},
}


class Died(BaseException):
    """Stands for a death at a moment that the test chooses."""


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of images, as they are decoded."""
    names: list[str] = []

    def watched(path: Path) -> Image.Image:
        names.append(path.name)
        return decode(path)

    monkeypatch.setattr(loading, "decode", watched)
    return names


def assert_close(one: Path, other: Path) -> None:
    """Weights within what float32 rounds otherwise in batches of another make-up."""
    ours, theirs = load_file(one), load_file(other)
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        np.testing.assert_allclose(theirs[name], weight, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "keys",
    [
        ALL_WARM,
        FROZEN | {"ema": 0.5, "accumulate": 2},
        FROZEN | {"config": WIDE, "loss": {"cosine": 1.0, "info_nce": 0.1}},
        FROZEN | {"optimiser": {"name": "madgrad", "lr": 1e-2, "sam_rho": 0.05}},
    ],
    ids=["warm-up", "average", "batch-norm", "sharpness"],
)
def test_what_is_learned_is_what_it_would_be_from_the_images(
    train_here: Callable[..., Any],
    losses: Callable[..., list[float]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    keys: dict[str, Any],
) -> None:
    ours = train_here(out="features", **keys).folds[0].result
    with monkeypatch.context() as patch:
        patch.setattr(frozen_features, "is_head_only", lambda _: False)
        theirs = train_here(out="pixels", **keys).folds[0].result
    assert ours.scores == pytest.approx(theirs.scores, abs=1e-5)
    folders = [tmp_path / out / "fold0" for out in ("features", "pixels")]
    assert losses(folders[0]) == pytest.approx(losses(folders[1]), rel=1e-4)
    for name in ("best.safetensors", "last.safetensors"):
        assert_close(*(folder / name for folder in folders))
    assert [len([*folder.parent.glob("features-*.npy")]) for folder in folders] == [1, 0]


def test_each_image_is_read_once_for_all_folds_and_epochs(
    train_here: Callable[..., Any], decoded: list[str]
) -> None:
    train_here(fold="all", **FROZEN)
    assert len(set(decoded)) == IMAGES
    # The last batch is filled up with the last image.
    assert set(decoded[:IMAGES]) == set(decoded)
    assert set(decoded[IMAGES:]) <= {decoded[IMAGES - 1]}
    assert len(decoded) < IMAGES + 4


@pytest.mark.parametrize(
    "keys",
    [
        FROZEN | {"augment": {"scale": [0.5, 1.0]}},
        {"epochs": 3, "freeze": 0.5},
        {"epochs": 3, "warmup": {"epochs": 2, "lr": 1e-2}},
    ],
    ids=["augmented", "trained in part", "trained later"],
)
def test_where_tower_or_images_change_the_images_are_read_anew(
    train_here: Callable[..., Any], decoded: list[str], tmp_path: Path, keys: dict[str, Any]
) -> None:
    train_here(**keys)
    assert len(decoded) == 3 * (8 + 5)  # two batches of four an epoch, and the fold's prompts
    assert not [*(tmp_path / "out").glob("features-*")]


def test_interrupted_at_any_moment_it_goes_on_bit_for_bit(
    train_here: Callable[..., Any], tmp_path: Path
) -> None:
    keys = FROZEN | {"config": WIDE}
    whole = train_here(out="whole", fold="all", **keys)

    def dies_at(moment: int) -> Callable[[str, int, int], None]:
        left = iter(range(moment))

        def progress(stage: str, done: int, total: int) -> None:
            del stage, done, total
            if next(left, None) is None:
                raise Died

        return progress

    for moment in count(3, 4):  # each run gets further than the one before
        try:
            report = train_here(
                fold="all", options={"progress": dies_at(moment), "save_steps": 1}, **keys
            )
            break
        except Died:
            continue
    assert moment > 10
    assert report.folds == whole.folds
    for path in (tmp_path / "whole").rglob("*"):
        if path.suffix in {".npy", ".safetensors", ".jsonl"}:
            other = tmp_path / "out" / path.relative_to(tmp_path / "whole")
            assert other.read_bytes() == path.read_bytes(), path.name


def test_other_weights_or_other_files_of_images_have_features_of_their_own(
    train_here: Callable[..., Any], images: Path, tmp_path: Path
) -> None:
    def tables(out: str) -> int:
        return len([*(tmp_path / out).glob("features-*.npy")])

    train_here(out="one", fold="all", **FROZEN)
    for fold, (begun, made) in enumerate([(0, 1), (0, 1), (1, 2)]):
        weights = tmp_path / f"one/fold{begun}/last.safetensors"
        train_here(out="two", fold=fold, options={"weights": weights}, **FROZEN)
        assert tables("two") == made
    others = tmp_path / "images"
    shutil.copytree(images, others)
    for fold, made in enumerate([1, 1, 2]):
        if fold == 2:
            os.utime(others / "4_0.png", (0, 0))
        train_here(out="three", fold=fold, options={"images": others}, **FROZEN)
        assert tables("three") == made


def test_two_processes_make_the_same_features_together(
    train_here: Callable[..., Any],
    losses: Callable[..., list[float]],
    train_in_two: Callable[..., dict[str, Any]],
    table: Path,
    tmp_path: Path,
) -> None:
    alone = train_here(out="one", **FROZEN).folds[0].result
    together = train_in_two("tower", table)
    assert together["scores"] == pytest.approx(alone.scores, abs=1e-5)
    assert losses(tmp_path / "two/fold0") == pytest.approx(losses(tmp_path / "one/fold0"), rel=1e-4)
    ((ours,), (theirs,)) = ([*(tmp_path / out).glob("features-*.npy")] for out in ("one", "two"))
    assert ours.name == theirs.name
    np.testing.assert_allclose(np.load(theirs), np.load(ours), rtol=1e-4, atol=1e-6)
