"""CLIP's vision transformers against open_clip's own, on open_clip's own files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from ensembler.errors import PredictorError
from ensembler.predicting.contract import Predictor
from ensembler.testing.predictors import Loadable, PredictorConformance
from predictors.clip_vit.adapter import ClipViT
from predictors.shared.pixels import to_tensor

GELU = "vit_mini_patch4_clip_16.laion"
QUICKGELU = "vit_mini_patch4_clip_quickgelu_16.openai"
NO_HEAD = {"kind": "none"}

MakeClip = Callable[..., torch.nn.Module]

pytestmark = pytest.mark.usefixtures("tiny_timm")


@pytest.fixture(scope="module")
def clip(make_clip: MakeClip) -> torch.nn.Module:
    return make_clip()


@pytest.fixture(scope="module")
def clip_file(clip: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "open_clip_model.safetensors"
    save_file(clip.state_dict(), path)
    return path


def load(path: Path, **config: object) -> Predictor:
    wanted = {"model": GELU, "head": NO_HEAD, **config}
    return Loadable(ClipViT, wanted, {"weights": path}, {}).load()


class TestOurCheckpoint(PredictorConformance):
    """A tower with a linear head, as training writes it."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, write_tower: Callable[..., Path]) -> Loadable:
        config = {"model": QUICKGELU, "head": {"kind": "linear", "dim": 9}}
        weights = write_tower(ClipViT.Config.model_validate(config))
        return Loadable(ClipViT, config, {"weights": weights}, {"weights": "head.weight"})


class TestStrideCheckpoint(PredictorConformance):
    """A tower at a stride, with a wide head and vectors of unit length."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, write_tower: Callable[..., Path]) -> Loadable:
        head = {"kind": "wide", "dim": 9, "hidden": [20]}
        config = {
            "model": GELU,
            "image_size": 24,
            "stride": 6,
            "head": head,
            "normalise_output": True,
        }
        weights = write_tower(ClipViT.Config.model_validate(config, strict=False))
        named = {"weights": "tower.patch_embed.proj.weight"}
        return Loadable(ClipViT, config, {"weights": weights}, named)


class TestOpenClipsFile(PredictorConformance):
    """A bare tower from a whole CLIP's file."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, clip_file: Path) -> Loadable:
        config = {"model": GELU, "head": NO_HEAD}
        named, timms = {"weights": "visual.ln_pre.weight"}, {"weights": "norm_pre.weight"}
        return Loadable(ClipViT, config, {"weights": clip_file}, named, timms)


def test_vectors_equal_open_clips(
    clip: torch.nn.Module, clip_file: Path, noise: Callable[..., Any]
) -> None:
    ours = load(clip_file)
    with torch.no_grad():
        theirs = clip.encode_image(to_tensor(noise(), ours.preprocess, "cpu"))
    np.testing.assert_allclose(ours.embed(noise()), theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("wrapper", ["", "module."])
def test_a_training_checkpoint_of_open_clip_gives_the_same_vectors(
    clip: torch.nn.Module, clip_file: Path, wrapper: str, tmp_path: Path, noise: Callable[..., Any]
) -> None:
    state = {wrapper + name: tensor for name, tensor in clip.state_dict().items()}
    torch.save({"epoch": 1, "name": "run", "state_dict": state}, tmp_path / "epoch_1.pt")
    ours = load(tmp_path / "epoch_1.pt").embed(noise())
    np.testing.assert_array_equal(ours, load(clip_file).embed(noise()))


def test_quickgelu_is_spelt_by_the_models_name(
    make_clip: MakeClip, tmp_path: Path, noise: Callable[..., Any]
) -> None:
    clip = make_clip(quick_gelu=True)
    save_file(clip.state_dict(), tmp_path / "openai.safetensors")
    ours = load(tmp_path / "openai.safetensors", model=QUICKGELU)
    with torch.no_grad():
        theirs = clip.encode_image(to_tensor(noise(), ours.preprocess, "cpu")).numpy()
    np.testing.assert_allclose(ours.embed(noise()), theirs, atol=1e-5)
    # The twin loads just as strictly and gives other vectors: why it must be asked for.
    twin = "vit_mini_patch4_clip_16.openai"
    with pytest.raises(PredictorError, match=f"name '{QUICKGELU}'"):
        load(tmp_path / "openai.safetensors", model=twin)
    gelu = load(tmp_path / "openai.safetensors", model=twin, keep_gelu=True)
    assert np.abs(gelu.embed(noise()) - theirs).max() > 1e-3


@pytest.mark.parametrize("size", [24, 12])
def test_position_embeddings_are_interpolated_as_open_clip_does(
    clip: torch.nn.Module,
    clip_file: Path,
    make_clip: MakeClip,
    size: int,
    noise: Callable[..., Any],
) -> None:
    resized = make_clip(size=size)
    state = dict(clip.state_dict())
    open_clip.model.resize_pos_embed(state, resized)
    resized.load_state_dict(state)
    ours = load(clip_file, image_size=size)
    images = noise(size=size)
    with torch.no_grad():
        theirs = resized.encode_image(to_tensor(images, ours.preprocess, "cpu")).numpy()
    np.testing.assert_allclose(ours.embed(images), theirs, atol=1e-5)


def test_our_checkpoint_of_another_image_size_is_interpolated(
    write_tower: Callable[..., Path], noise: Callable[..., Any]
) -> None:
    config = {"model": GELU, "head": {"kind": "linear", "dim": 9}}
    path = write_tower(ClipViT.Config.model_validate(config))
    larger = load(path, **{**config, "image_size": 24})
    assert larger.embed(noise(size=24)).shape == (3, 9)


@pytest.mark.parametrize("size", [22, 24, 27])
def test_a_stride_keeps_kernels_and_grid_as_in_open_clip(
    clip: torch.nn.Module,
    clip_file: Path,
    make_clip: MakeClip,
    size: int,
    noise: Callable[..., Any],
) -> None:
    spread = make_clip()
    spread.load_state_dict(clip.state_dict())
    spread.visual.conv1.stride = (6, 6)
    ours = load(clip_file, image_size=size, stride=6)
    images = noise(size=size)
    with torch.no_grad():
        theirs = spread.encode_image(to_tensor(images, ours.preprocess, "cpu")).numpy()
    np.testing.assert_allclose(ours.embed(images), theirs, atol=1e-5)


def test_a_file_without_the_head_is_refused(clip_file: Path) -> None:
    with pytest.raises(PredictorError, match="and the head of kind 'linear' is missing"):
        load(clip_file, head={"kind": "linear", "dim": 9})


def test_a_checkpoint_whose_head_is_not_asked_for_is_refused(
    write_tower: Callable[..., Path],
) -> None:
    config = {"model": GELU, "head": {"kind": "linear", "dim": 9}}
    path = write_tower(ClipViT.Config.model_validate(config))
    with pytest.raises(PredictorError, match=r"1 weights are unexpected \(head.weight\)"):
        load(path)


def test_a_tower_of_another_kind_is_refused(write_tower: Callable[..., Path]) -> None:
    from predictors.shared.tower_config import TowerConfig

    config = {"model": "eva02_mini_patch4_16.ft", "head": {"kind": "linear", "dim": 9}}
    path = write_tower(TowerConfig.model_validate(config))
    with pytest.raises(PredictorError, match=r"are missing .* are unexpected"):
        load(path, head={"kind": "linear", "dim": 9})


def test_a_model_that_is_not_a_clip_vit_is_refused(clip_file: Path) -> None:
    with pytest.raises(PredictorError, match="model: String should match pattern"):
        load(clip_file, model="convnext_mini.clip")
