"""EVA02 towers against timm's own, on timm's own checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from ensembler.predicting.contract import Predictor
from ensembler.testing.predictors import Loadable, PredictorConformance
from predictors.eva02.adapter import Eva02
from predictors.shared.pixels import to_tensor

MODEL = "eva02_mini_patch4_16.ft"

pytestmark = pytest.mark.usefixtures("tiny_timm")


def make_model(size: int = 16) -> torch.nn.Module:
    """timm's own, with the classifier that a published checkpoint has."""
    torch.manual_seed(5)
    return timm.create_model(MODEL, img_size=size).eval()


@pytest.fixture
def timms_file(tmp_path: Path) -> Path:
    save_file(make_model().state_dict(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def load(path: Path, **config: object) -> Predictor:
    wanted = {"model": MODEL, "head": {"kind": "none"}, **config}
    return Loadable(Eva02, wanted, {"weights": path}, {}).load()


class TestOurCheckpoint(PredictorConformance):
    """Class token and patches with a linear head, as training writes it."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, write_tower: Callable[..., Path]) -> Loadable:
        config = {"model": MODEL, "head": {"kind": "linear", "dim": 9}, "normalise_output": True}
        weights = write_tower(Eva02.Config.model_validate(config))
        named = {"weights": "tower.blocks.0.attn.q_proj.weight"}
        return Loadable(Eva02, config, {"weights": weights}, named)


def test_features_are_class_token_and_mean_of_patches(
    timms_file: Path, noise: Callable[..., Any]
) -> None:
    ours = load(timms_file)
    with torch.no_grad():
        tokens = make_model().forward_features(to_tensor(noise(), ours.preprocess, "cpu"))
    expected = np.concatenate([tokens[:, 0].numpy(), tokens[:, 1:].mean(1).numpy()], axis=1)
    np.testing.assert_allclose(ours.embed(noise()), expected, atol=1e-5)
    cls = load(timms_file, features="cls").embed(noise())
    np.testing.assert_allclose(cls, expected[:, :32], atol=1e-5)


@pytest.mark.parametrize("features", ["pooled", "projected"])
def test_the_models_own_output_can_be_had(
    timms_file: Path, noise: Callable[..., Any], features: str
) -> None:
    ours = load(timms_file, features=features)
    model = make_model()
    if features == "pooled":
        model.reset_classifier(0)
    with torch.no_grad():
        theirs = model(to_tensor(noise(), ours.preprocess, "cpu")).numpy()
    np.testing.assert_allclose(ours.embed(noise()), theirs, atol=1e-5)


def test_another_image_size_is_as_timm_loads_it(
    timms_file: Path, noise: Callable[..., Any]
) -> None:
    from timm.models.eva import checkpoint_filter_fn

    larger = make_model(24)
    larger.load_state_dict(checkpoint_filter_fn(make_model().state_dict(), larger))
    ours = load(timms_file, image_size=24)
    images = noise(size=24)
    with torch.no_grad():
        tokens = larger.forward_features(to_tensor(images, ours.preprocess, "cpu"))
    np.testing.assert_allclose(ours.embed(images)[:, :32], tokens[:, 0].numpy(), atol=1e-5)


def test_images_are_squashed_as_timm_records(timms_file: Path) -> None:
    assert load(timms_file).preprocess.resize == "squash"
