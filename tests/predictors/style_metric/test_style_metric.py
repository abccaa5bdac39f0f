"""CLIP's pooled patches and a ConvNeXt's Gram features against timm's own and float64 by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from ensembler.errors import PredictorError
from ensembler.predicting.contract import Predictor
from ensembler.testing.predictors import Loadable, PredictorConformance
from predictors.shared.pixels import to_tensor
from predictors.style_metric.adapter import StyleMetric
from predictors.style_metric.config import StyleMetricConfig
from predictors.style_metric.gram import gram_features
from predictors.style_metric.model import StyleMetricModel

SIDE = 64  # the ConvNeXt's last map has 2×2 places
CONFIG: dict[str, Any] = {
    "model": "vit_mini_patch4_clip_16.laion",
    "style_model": "convnext_mini.clip",
    "image_size": SIDE,
    "head": {"kind": "mlp", "dim": 9, "hidden": [40, 40]},
}
BARE: dict[str, Any] = {**CONFIG, "head": {"kind": "none"}}
WIDTH = 32 + 8 + 12 + 16 + 20

pytestmark = pytest.mark.usefixtures("tiny_timm")


def make_style() -> torch.nn.Module:
    """timm's own ConvNeXt, with the classifier that a published checkpoint has."""
    torch.manual_seed(6)
    return timm.create_model("convnext_mini.clip").eval()


def made(config: dict[str, Any]) -> StyleMetricModel:
    torch.manual_seed(7)
    return StyleMetricModel(StyleMetricConfig.model_validate(config, strict=False))


@pytest.fixture(scope="module")
def files(tiny_timm: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:  # noqa: ARG001 - registers
    folder = tmp_path_factory.mktemp("style")
    save_file(made(CONFIG).state_dict(), folder / "fold0.safetensors")
    save_file(make_style().state_dict(), folder / "convnext.safetensors")
    return {"weights": folder / "fold0.safetensors", "style": folder / "convnext.safetensors"}


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(7).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


@pytest.fixture
def bare(files: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """The files of the same towers without a head."""
    state = {n: t for n, t in load_file(files["weights"]).items() if n.startswith("tower.")}
    save_file(state, tmp_path / "bare.safetensors")
    return {**files, "weights": tmp_path / "bare.safetensors"}


def load(files: dict[str, Path], config: dict[str, Any]) -> Predictor:
    return Loadable(StyleMetric, config, files, {}).load()


def gram_by_hand(feature_map: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each row of one image's Gram matrix, computed place by place."""
    channels, height, width = feature_map.shape
    gram = np.zeros((channels, channels))
    for row in range(height):
        for column in range(width):
            place = feature_map[:, row, column]
            gram += np.outer(place, place)
    means: NDArray[np.float64] = (gram / (height * width)).sum(axis=1) / channels
    return means


class TestStyleMetric(PredictorConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, files: dict[str, Path]) -> Loadable:
        named = {"weights": "head.0.weight", "style": "stages.3.blocks.0.norm.weight"}
        return Loadable(StyleMetric, {**CONFIG, "normalise_output": True}, files, named)


def test_gram_features_are_the_means_of_the_gram_matrixs_rows() -> None:
    rng = np.random.default_rng(1)
    maps = [rng.normal(size=shape) for shape in ((2, 5, 4, 3), (2, 7, 1, 2))]
    expected = [np.concatenate([gram_by_hand(m[image]) for m in maps]) for image in range(2)]
    ours = gram_features([torch.from_numpy(m).float() for m in maps]).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_gram_features_do_not_know_where_things_are() -> None:
    rng = np.random.default_rng(2)
    places = rng.normal(size=(1, 6, 12))
    moved = places[:, :, rng.permutation(12)]
    one, other = (gram_features([torch.from_numpy(p.reshape(1, 6, 3, 4))]) for p in (places, moved))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_gram_features_of_half_precision_do_not_overflow() -> None:
    loud = torch.full((1, 4, 2, 2), 300.0, dtype=torch.float16)  # squared, beyond float16
    np.testing.assert_array_equal(gram_features([loud]), np.full((1, 4), 90_000.0))


def test_features_are_clips_patches_by_gem_beside_gram_features(
    bare: dict[str, Path], images: NDArray[np.uint8]
) -> None:
    ours = load(bare, BARE)
    clip = timm.create_model("vit_mini_patch4_clip_16.laion", img_size=SIDE, num_classes=0).eval()
    state = {n.removeprefix("tower."): t for n, t in load_file(bare["weights"]).items()}
    clip.load_state_dict(state)
    # Each tower with its own colours: those that timm records for the two are the same here.
    pixels = to_tensor(images, ours.preprocess, "cpu")
    with torch.no_grad():
        patches = clip.forward_features(pixels)[:, 1:].double().numpy()
        maps = make_style().forward_intermediates(pixels, intermediates_only=True)
    content = np.sqrt((np.maximum(patches, 1e-6) ** 2).mean(axis=1))
    style = [
        np.concatenate([gram_by_hand(m[image].double().numpy()) for m in maps])
        for image in range(len(images))
    ]
    expected = np.concatenate([content, np.stack(style)], axis=1)
    assert expected.shape == (3, WIDTH)
    np.testing.assert_allclose(ours.embed(images), expected, atol=1e-5)


def test_the_convnext_sees_the_colours_it_was_trained_on(
    bare: dict[str, Path], images: NDArray[np.uint8]
) -> None:
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
    recoloured = load(bare, {**BARE, "mean": mean, "std": std})
    assert recoloured.preprocess.mean == mean
    ours, same = recoloured.embed(images), load(bare, BARE).embed(images)
    np.testing.assert_allclose(ours[:, 32:], same[:, 32:], rtol=1e-4, atol=1e-5)
    assert np.abs(ours[:, :32] - same[:, :32]).max() > 1e-2


def test_the_head_is_an_mlp_on_both(
    files: dict[str, Path], bare: dict[str, Path], images: NDArray[np.uint8]
) -> None:
    from scipy.special import erf

    values = load(bare, BARE).embed(images).astype(np.float64)
    state = {name: t.double().numpy() for name, t in load_file(files["weights"]).items()}
    for layer in (0, 2):
        values = values @ state[f"head.{layer}.weight"].T + state[f"head.{layer}.bias"]
        values = values * (1 + erf(values / np.sqrt(2))) / 2
    expected = values @ state["head.4.weight"].T + state["head.4.bias"]
    np.testing.assert_allclose(load(files, CONFIG).embed(images), expected, atol=1e-5)


def test_the_recipes_sizes_are_the_default() -> None:
    with torch.device("meta"):
        model = StyleMetricModel(StyleMetricConfig())
    assert model.head[0].weight.shape == (4096, 2944)
    assert [layer.out_features for layer in model.head[::2]] == [4096, 4096, 4096, 4096, 384]
    assert model.config.gem_power == 2.0


def test_only_tower_and_head_are_trained(images: NDArray[np.uint8]) -> None:
    model = made(CONFIG)
    model(to_tensor(images, model.preprocess, "cpu")).sum().backward()
    assert not any(p.requires_grad for p in model.style.module.parameters())
    assert all(p.requires_grad for p in model.parameters())
    assert {name.split(".")[0] for name in model.state_dict()} == {"tower", "head"}
    assert model.head[0].weight.grad.abs().max() > 0


def test_a_style_model_without_stages_is_refused(files: dict[str, Path]) -> None:
    with pytest.raises(PredictorError, match="has no stages"):
        load(files, {**CONFIG, "style_model": "vit_mini_patch4_clip_16.laion"})


def test_swapped_files_are_refused(files: dict[str, Path]) -> None:
    swapped = {"weights": files["style"], "style": files["weights"]}
    with pytest.raises(PredictorError, match=r"does not fit the model|cannot be converted"):
        load(swapped, CONFIG)
    with pytest.raises(PredictorError, match=r"convnext\.safetensors does not fit the model"):
        load({**files, "weights": files["style"]}, CONFIG)


def test_a_checkpoint_whose_head_is_not_asked_for_is_refused(files: dict[str, Path]) -> None:
    with pytest.raises(PredictorError, match=r"unexpected \(head\."):
        load(files, BARE)


def test_other_features_than_gem_are_refused(files: dict[str, Path]) -> None:
    with pytest.raises(PredictorError, match="features"):
        load(files, {**CONFIG, "features": "cls"})
