"""A tiny tower as features, by its definition, and references of random targets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.predicting.contract import Predictor
from predictors.retrieval.features import features_digest, load_features
from predictors.retrieval.references import References, save_references

TARGET_DIM = 6
FOLDS = 3

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def tower(write_tower: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The definition of a predictor without a head, in a folder with its weights."""
    from predictors.shared.tower_config import TowerConfig

    config: dict[str, Any] = {"model": "vit_mini_patch4_clip_16.laion", "head": {"kind": "none"}}
    folder = tmp_path_factory.mktemp("features") / "tower"
    folder.mkdir()
    shutil.copy(write_tower(TowerConfig.model_validate(config)), folder / "tower.safetensors")
    definition = folder / "predictor.toml"
    definition.write_text(
        'adapter = "tower"\n'
        '[config]\nmodel = "vit_mini_patch4_clip_16.laion"\nhead = {kind = "none"}\n'
        '[files]\nweights = "tower.safetensors"\n'
    )
    return definition


@pytest.fixture(scope="session")
def features(tower: Path) -> Predictor:
    """It, loaded."""
    return load_features(tower, "cpu")


@pytest.fixture(scope="session")
def write_references(
    tower: Path, features: Predictor, tmp_path_factory: pytest.TempPathFactory
) -> Write:
    """`write_references(images)`: a reference set of images, dealt to FOLDS folds in turn."""

    def write(images: NDArray[np.uint8], targets: NDArray[np.float32] | None = None) -> Path:
        rows = len(images)
        if targets is None:
            targets = np.random.default_rng(4).normal(size=(rows, TARGET_DIM)).astype(np.float32)
            targets /= np.linalg.norm(targets, axis=1, keepdims=True)
        vectors = features.embed(images)
        path = tmp_path_factory.mktemp("references") / "reference.safetensors"
        save_references(
            References(
                path=path,
                ids=np.array([f"r{row}" for row in range(rows)]),
                fold=np.arange(rows) % FOLDS,
                features=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(
                    np.float16
                ),
                targets=targets,
                image_sha256=np.zeros((rows, 32), np.uint8),
                features_sha256=features_digest(tower),
            )
        )
        return path

    return write
