"""The mapper against a transformer written out in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ensembler.errors import PredictorError
from predictors.clip_gpt2.config import MapperConfig
from predictors.clip_gpt2.mapper import PrefixMapper

Vector = NDArray[np.float64]
Weights = dict[str, Vector]

CONFIG = MapperConfig(prefix_tokens=3, feature_tokens=2, layers=2, heads=4)


def norm(x: Vector, weights: Weights, name: str) -> Vector:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 1e-5)
    shifted: Vector = scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return shifted


def attend(x: Vector, weights: Weights, name: str, heads: int) -> Vector:
    """Every token attends to every token of its image."""
    joined = x @ weights[f"{name}.in_proj_weight"].T + weights[f"{name}.in_proj_bias"]
    query, key, value = np.split(joined, 3, axis=-1)
    each = x.shape[-1] // heads
    found = []
    for head in range(heads):
        part = slice(head * each, (head + 1) * each)
        scores = np.exp(query[:, part] @ key[:, part].T / math.sqrt(each))
        found.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, part])
    out = np.concatenate(found, axis=1)
    return out @ weights[f"{name}.out_proj.weight"].T + weights[f"{name}.out_proj.bias"]


def prefix_by_hand(features: Vector, weights: Weights, config: MapperConfig) -> Vector:
    width = weights["queries"].shape[1]
    unfolded = features @ weights["unfold.weight"].T + weights["unfold.bias"]
    x = np.concatenate([unfolded.reshape(-1, width), weights["queries"]])
    for layer in range(config.layers):
        at = f"layers.{layer}"
        x = x + attend(norm(x, weights, f"{at}.norm1"), weights, f"{at}.self_attn", config.heads)
        inner = norm(x, weights, f"{at}.norm2") @ weights[f"{at}.linear1.weight"].T
        inner = np.maximum(inner + weights[f"{at}.linear1.bias"], 0.0)
        x = x + inner @ weights[f"{at}.linear2.weight"].T + weights[f"{at}.linear2.bias"]
    return x[config.feature_tokens :]


def test_a_prefix_is_what_a_transformer_makes_of_the_queries() -> None:
    torch.manual_seed(1)
    mapper = PrefixMapper(CONFIG, features=5, width=8)
    for weight in mapper.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    features = torch.randn(6, 5)
    weights = {name: tensor.double().numpy() for name, tensor in mapper.state_dict().items()}
    by_hand = [prefix_by_hand(row, weights, CONFIG) for row in features.double().numpy()]
    trained = mapper(features).detach().numpy()
    with torch.inference_mode():
        embedded = mapper.eval()(features).numpy()
    np.testing.assert_allclose(embedded, by_hand, atol=1e-5)
    np.testing.assert_allclose(trained, by_hand, atol=1e-5)


def test_its_layers_do_not_begin_alike() -> None:
    first, second = PrefixMapper(CONFIG, features=5, width=8).layers
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


def test_heads_that_cannot_share_the_width_are_refused() -> None:
    with pytest.raises(PredictorError, match=r"mapper\.heads = 4 .* width of 10"):
        PrefixMapper(CONFIG, features=5, width=10)
