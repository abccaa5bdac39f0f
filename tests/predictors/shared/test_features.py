"""Features: each kind against a plain computation on the model's own activations."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray

from ensembler.errors import PredictorError
from predictors.shared.features import extract_features, feature_width, gem
from predictors.shared.tower_config import Features

MODELS = [
    "vit_mini_patch4_clip_16.laion",
    "eva02_mini_patch4_16.ft",
    "convnext_mini.clip",
    "convnext_mini_mlp.clip",
    "swin_mini.ft",
]
WITH_TOKEN = MODELS[:2]
MAPS = MODELS[2:]


def pixels_for(name: str) -> torch.Tensor:
    """Three images of 4×4 places."""
    size = 128 if name.startswith("convnext") else 16
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))


def build(name: str, features: Features) -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=12 if features == "projected" else 0).eval()


def patches_of(model: torch.nn.Module, pixels: torch.Tensor) -> NDArray[np.float64]:
    """The patches, (n, places, width) float64: tokens after the class token, or places of a map."""
    found = model.forward_features(pixels).detach().double().numpy()
    if found.ndim == 3:
        return np.asarray(found[:, model.num_prefix_tokens :])
    if getattr(model, "output_fmt", "NCHW") != "NHWC":
        found = np.moveaxis(found, 1, -1)
    return np.asarray(found.reshape(len(found), -1, found.shape[-1]))


def layer_norm(model: torch.nn.Module, pooled: NDArray[np.float64]) -> NDArray[np.float64]:
    """A ConvNeXt head's norm of pooled features, by its formula; others leave them."""
    norm = getattr(model.head, "norm", None)
    if norm is None:
        return pooled
    centred = pooled - pooled.mean(1, keepdims=True)
    return np.asarray(centred / np.sqrt(pooled.var(1, keepdims=True) + norm.eps))


@pytest.mark.usefixtures("tiny_timm")
@pytest.mark.parametrize("features", ["projected", "pooled", "mean", "gem"])
@pytest.mark.parametrize("name", MODELS)
def test_the_width_is_that_of_the_features(name: str, features: Features) -> None:
    model = build(name, features)
    found = extract_features(model, pixels_for(name), features, 3.0)
    assert found.shape == (3, feature_width(model, features))


@pytest.mark.usefixtures("tiny_timm")
@pytest.mark.parametrize("name", MODELS)
def test_mean_is_that_of_patches_or_places(name: str) -> None:
    pixels = pixels_for(name)
    model = build(name, "mean")
    expected = layer_norm(model, patches_of(model, pixels).mean(1))
    found = extract_features(model, pixels, "mean", 3.0).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.usefixtures("tiny_timm")
@pytest.mark.parametrize("name", MODELS)
def test_gem_is_the_power_mean_of_patches_or_places(name: str) -> None:
    pixels = pixels_for(name)
    model = build(name, "gem")
    positive = np.maximum(patches_of(model, pixels), 1e-6)
    expected = layer_norm(model, (positive**2).mean(1) ** 0.5)
    found = extract_features(model, pixels, "gem", 2.0).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.usefixtures("tiny_timm")
@pytest.mark.parametrize("name", WITH_TOKEN)
def test_cls_and_mean_stand_side_by_side(name: str) -> None:
    pixels = pixels_for(name)
    model = build(name, "cls+mean")
    token = model.forward_features(pixels)[:, 0].detach().numpy()
    expected = np.concatenate([token, patches_of(model, pixels).mean(1)], axis=1)
    found = extract_features(model, pixels, "cls+mean", 3.0).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert feature_width(model, "cls+mean") == expected.shape[1]
    cls = extract_features(model, pixels, "cls", 3.0).detach().numpy()
    np.testing.assert_array_equal(cls, token)
    assert feature_width(model, "cls") == token.shape[1]


@pytest.mark.usefixtures("tiny_timm")
@pytest.mark.parametrize("name", MODELS)
def test_pooled_and_projected_are_the_models_own(name: str) -> None:
    pixels = pixels_for(name)
    for features in ("pooled", "projected"):
        model = build(name, features)
        found = extract_features(model, pixels, features, 3.0)
        assert torch.equal(found, model(pixels))


@pytest.mark.usefixtures("tiny_timm")
@pytest.mark.parametrize("name", MAPS)
def test_a_class_token_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(PredictorError, match=r"need a class token.*use 'pooled', 'mean' or 'gem'"):
        feature_width(build(name, "cls"), "cls")


def test_gem_goes_from_the_mean_to_the_largest() -> None:
    patches = torch.rand(2, 7, 4, generator=torch.Generator().manual_seed(0)) + 0.1
    torch.testing.assert_close(gem(patches, 1.0), patches.mean(1))
    torch.testing.assert_close(gem(patches, 200.0), patches.amax(1), rtol=0.02, atol=0.0)
