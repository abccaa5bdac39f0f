"""Any tower of timm, with timm's own checkpoints and preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from ensembler.images.preprocess import Preprocess
from ensembler.images.resize import resized
from ensembler.predicting.registry import find_adapter
from ensembler.testing.predictors import Loadable, PredictorConformance
from predictors.shared.pixels import to_tensor
from predictors.shared.tower_config import TowerConfig
from predictors.shared.vision import build_vision, vision_preprocess
from predictors.tower.adapter import VisionTower

pytestmark = pytest.mark.usefixtures("tiny_timm")

PUBLISHED = [
    "test_resnet.r160_in1k",
    "test_vit.r160_in1k",
    "vit_base_patch16_clip_384.openai_ft_in12k_in1k",
    "eva02_large_patch14_448.mim_m38m_ft_in22k",
    "convnext_large_mlp.clip_laion2b_ft_soup_320",
    "swin_tiny_patch4_window7_224.ms_in1k",
    "vit_small_patch14_dinov2.lvd142m",
]


class TestSwin(PredictorConformance):
    """A tower whose maps lie channels last, with an MLP."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, write_tower: Callable[..., Path]) -> Loadable:
        head = {"kind": "mlp", "dim": 9, "hidden": [20, 20]}
        config = {"model": "swin_mini.ft", "features": "gem", "head": head}
        weights = write_tower(TowerConfig.model_validate(config, strict=False))
        return Loadable(VisionTower, config, {"weights": weights}, {"weights": "head.0.weight"})


class TestTimmsFile(PredictorConformance):
    """A bare tower from timm's own checkpoint, whose classifier is left out."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, tmp_path_factory: pytest.TempPathFactory) -> Loadable:
        torch.manual_seed(6)
        weights = tmp_path_factory.mktemp("timm") / "pytorch_model.bin"
        torch.save(timm.create_model("test_vit.r160_in1k").state_dict(), weights)
        config = {"model": "test_vit.r160_in1k", "image_size": 32, "head": {"kind": "none"}}
        named = {"weights": "blocks.0.norm1.weight"}
        return Loadable(VisionTower, config, {"weights": weights}, named)


@pytest.mark.parametrize("name", ["test_vit.r160_in1k", "test_convnext.r160_in1k", "swin_mini.ft"])
def test_pooled_features_are_timms_without_its_classifier(
    name: str, tmp_path: Path, noise: Callable[..., Any]
) -> None:
    torch.manual_seed(7)
    whole = timm.create_model(name).eval()
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    config = {"model": name, "head": {"kind": "none"}}
    files = {"weights": tmp_path / "model.safetensors"}
    ours = Loadable(VisionTower, config, files, {}).load()
    images = noise(size=ours.preprocess.height)
    pixels = to_tensor(images, ours.preprocess, "cpu")
    with torch.no_grad():
        theirs = whole.forward_head(whole.forward_features(pixels), pre_logits=True).numpy()
    np.testing.assert_allclose(ours.embed(images), theirs, atol=1e-5)


@pytest.mark.parametrize("size", [(100, 80), (513, 700), (512, 512)])
@pytest.mark.parametrize("name", PUBLISHED)
def test_preprocessing_equals_timms_transform(name: str, size: tuple[int, int]) -> None:
    config = TowerConfig(model=name)
    with torch.device("meta"):
        model = build_vision(config)
    wanted: Preprocess = vision_preprocess(model, config)
    coarse = np.random.default_rng(8).integers(0, 256, (9, 7, 3), np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(model))(image)
    ours = to_tensor(resized(image, wanted)[None], wanted, "cpu")[0]
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["clip_vit", "convnext", "eva02", "tower"])
def test_the_towers_come_in_by_the_plug_in_door(name: str) -> None:
    adapter = find_adapter(name)
    assert issubclass(adapter, VisionTower)
    assert issubclass(adapter.Config, TowerConfig)
