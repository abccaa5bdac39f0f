"""ConvNeXt towers against open_clip's own, on open_clip's own files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from ensembler.predicting.contract import Predictor
from ensembler.testing.predictors import Loadable, PredictorConformance
from predictors.convnext.adapter import ConvNeXt
from predictors.shared.pixels import to_tensor

LINEAR = "convnext_mini.clip"  # as xxlarge: a linear projection
MLP = "convnext_mini_mlp.clip"  # as large_d: fc, GELU, fc
SIZE = 40

pytestmark = pytest.mark.usefixtures("tiny_timm")


def make_clip(projection: str) -> torch.nn.Module:
    torch.manual_seed(4)
    vision = {
        "timm_model_name": "convnext_mini",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": projection,
        "image_size": SIZE,
    }
    text = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
    return open_clip.model.CLIP(12, vision, text).eval()


def write(clip: torch.nn.Module, path: Path) -> Path:
    state = {name: tensor.contiguous() for name, tensor in clip.state_dict().items()}
    save_file(state, path)
    return path


def load(path: Path, **config: object) -> Predictor:
    wanted = {"image_size": SIZE, "head": {"kind": "none"}, **config}
    return Loadable(ConvNeXt, wanted, {"weights": path}, {}).load()


class TestOurCheckpoint(PredictorConformance):
    """A tower with a linear head, as training writes it."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, write_tower: Callable[..., Path]) -> Loadable:
        config = {"model": MLP, "image_size": SIZE, "head": {"kind": "linear", "dim": 9}}
        weights = write_tower(ConvNeXt.Config.model_validate(config))
        return Loadable(ConvNeXt, config, {"weights": weights}, {"weights": "head.weight"})


class TestOpenClipsFile(PredictorConformance):
    """A bare tower from a whole CLIP's file."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, tmp_path_factory: pytest.TempPathFactory) -> Loadable:
        path = write(make_clip("linear"), tmp_path_factory.mktemp("clip") / "clip.safetensors")
        config = {"model": LINEAR, "image_size": SIZE, "head": {"kind": "none"}}
        named = {"weights": "visual.trunk.stages.0.blocks.0.norm.weight"}
        timms = {"weights": "stages.0.blocks.0.norm.weight"}
        return Loadable(ConvNeXt, config, {"weights": path}, named, timms)


@pytest.mark.parametrize(("model", "projection"), [(LINEAR, "linear"), (MLP, "mlp")])
def test_vectors_equal_open_clips(
    model: str, projection: str, tmp_path: Path, noise: Callable[..., Any]
) -> None:
    clip = make_clip(projection)
    ours = load(write(clip, tmp_path / "clip.safetensors"), model=model)
    images = noise(size=SIZE)
    with torch.no_grad():
        theirs = clip.encode_image(to_tensor(images, ours.preprocess, "cpu")).numpy()
    np.testing.assert_allclose(ours.embed(images), theirs, atol=1e-5)


@pytest.mark.parametrize(("model", "projection"), [(LINEAR, "linear"), (MLP, "mlp")])
def test_mean_features_are_the_trunks(
    model: str, projection: str, tmp_path: Path, noise: Callable[..., Any]
) -> None:
    clip = make_clip(projection)
    ours = load(write(clip, tmp_path / "clip.safetensors"), model=model, features="mean")
    trunk, images = clip.visual.trunk, noise(size=SIZE)
    with torch.no_grad():
        places = trunk.forward_features(to_tensor(images, ours.preprocess, "cpu"))
        # open_clip took the trunk's pooling out; the norm stayed.
        theirs = trunk.head.norm(places.mean((2, 3), keepdim=True)).flatten(1).numpy()
    np.testing.assert_allclose(ours.embed(images), theirs, atol=1e-5)


def test_any_image_size_is_taken(tmp_path: Path, noise: Callable[..., Any]) -> None:
    path = write(make_clip("linear"), tmp_path / "clip.safetensors")
    larger = load(path, model=LINEAR, image_size=72)
    assert larger.embed(noise(size=72)).shape == (3, 12)


def test_weights_lie_channels_last(tmp_path: Path) -> None:
    from predictors.shared.tower import load_tower

    path = write(make_clip("linear"), tmp_path / "clip.safetensors")
    config = {"model": LINEAR, "image_size": SIZE, "head": {"kind": "none"}}
    tower = load_tower(ConvNeXt.Config.model_validate(config), path)  # type: ignore[arg-type]  # a TowerConfig
    stem = tower.tower.stem[0].weight
    assert stem.is_contiguous(memory_format=torch.channels_last)
    assert not any(weight.requires_grad for weight in tower.parameters())
    assert not tower.training
