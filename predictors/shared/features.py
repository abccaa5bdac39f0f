"""Features of a timm vision model: the activations that the head is given."""

from __future__ import annotations

import torch

from ensembler.errors import PredictorError
from predictors.shared.tower_config import Features

FLOOR = 1e-6  # gem raises smaller activations to this, because it takes roots


def feature_width(model: torch.nn.Module, features: Features) -> int:
    """The width of a model's features.

    Args:
        model: a timm model.
        features: the kind of features.

    Raises:
        PredictorError: the features use a class token, and the model has none.
    """
    if "cls" in features and not has_class_token(model):
        raise PredictorError(
            f"features {features!r} need a class token, which {type(model).__name__} does not have:"
            " use 'pooled', 'mean' or 'gem'"
        )
    if features == "projected":
        return int(model.num_classes)
    if features == "pooled":
        return int(model.head_hidden_size)
    return int(model.num_features) * (2 if features == "cls+mean" else 1)


def has_class_token(model: torch.nn.Module) -> bool:
    """Whether a model has a class token."""
    return getattr(model, "cls_token", None) is not None


def extract_features(
    model: torch.nn.Module, pixels: torch.Tensor, features: Features, gem_power: float
) -> torch.Tensor:
    """Compute a model's features of images.

    Tokens are taken as the model leaves them: normalised where its last norm comes before pooling,
    raw where it comes after (EVA02's 224 and 448 models). The pooled map of a convolutional tower
    goes through the norm of its head.

    Args:
        model: a timm model.
        pixels: (n, 3, height, width).
        features: the kind of features.
        gem_power: the exponent p of gem.

    Returns:
        (n, width).
    """
    if features == "projected":
        return model(pixels)
    activations = model.forward_features(pixels)
    if features == "pooled":
        return model.forward_head(activations, pre_logits=True)
    if activations.ndim == 4:
        return _of_map(model, activations, features, gem_power)
    patches = activations[:, model.num_prefix_tokens :]
    if features == "gem":
        return gem(patches, gem_power)
    if features == "mean":
        return patches.mean(1)
    token = activations[:, 0]
    return token if features == "cls" else torch.cat([token, patches.mean(1)], 1)


def gem(patches: torch.Tensor, power: float) -> torch.Tensor:
    """The generalised mean over patches (Radenović et al. 2018): mean at p = 1, maximum at p = ∞.

    Args:
        patches: (n, places, width); values below FLOOR count as FLOOR.
        power: the exponent p.

    Returns:
        (n, width).
    """
    return patches.clamp(min=FLOOR).pow(power).mean(1).pow(1.0 / power)


def _of_map(
    model: torch.nn.Module, activations: torch.Tensor, features: Features, gem_power: float
) -> torch.Tensor:
    """Pool a convolutional map, and apply the head's norm where it comes after pooling."""
    channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    places = activations.flatten(1, 2) if channels_last else activations.flatten(2).transpose(1, 2)
    pooled = gem(places, gem_power) if features == "gem" else places.mean(1)
    norm = getattr(getattr(model, "head", None), "norm", None)
    if norm is None:
        return pooled
    # ConvNeXt's norm takes a map, here of one place.
    return norm(pooled[:, :, None, None]).flatten(1)
