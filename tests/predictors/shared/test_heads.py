"""Heads: their layers, by an independent formula, and the configs that are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from predictors.shared.heads import HeadConfig, make_head


def test_a_linear_head_is_one_product_without_a_bias() -> None:
    head = make_head(HeadConfig(kind="linear", dim=4), 6)
    assert set(head.state_dict()) == {"weight"}
    features = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    expected = features.double().numpy() @ head.weight.detach().double().numpy().T
    np.testing.assert_allclose(head(features).detach().numpy(), expected, atol=1e-6)


def test_a_linear_head_starts_within_xaviers_bounds() -> None:
    torch.manual_seed(0)
    weight = make_head(HeadConfig(kind="linear", dim=40), 60).weight.detach()
    bound = np.sqrt(6 / 100)
    assert 0.95 * bound < weight.abs().max() <= bound


def test_a_wide_head_is_linear_batchnorm_relu_linear() -> None:
    torch.manual_seed(0)
    head = make_head(HeadConfig(kind="wide", dim=4, hidden=(8,)), 6).eval()
    first, norm, _, last = head
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
    torch.nn.init.normal_(norm.bias)
    features = torch.randn(5, 6)
    w, b, mean, var, scale, shift, v, c = (
        tensor.detach().double().numpy()
        for tensor in (
            first.weight, first.bias, norm.running_mean, norm.running_var, norm.weight, norm.bias,
            last.weight, last.bias,
        )
    )  # fmt: skip
    hidden = (features.double().numpy() @ w.T + b - mean) / np.sqrt(var + norm.eps) * scale + shift
    expected = np.maximum(hidden, 0.0) @ v.T + c
    np.testing.assert_allclose(head(features).detach().numpy(), expected, atol=1e-5)


def test_an_mlp_has_a_layer_for_each_hidden_width() -> None:
    head = make_head(HeadConfig(kind="mlp", dim=4, hidden=(8, 5)), 6)
    shapes = [tuple(t.shape) for name, t in head.state_dict().items() if name.endswith("weight")]
    assert shapes == [(8, 6), (5, 8), (4, 5)]
    assert [type(layer).__name__ for layer in head] == [
        "Linear",
        "GELU",
        "Linear",
        "GELU",
        "Linear",
    ]


def test_no_head_leaves_features_as_they_are() -> None:
    head = make_head(HeadConfig(kind="none"), 6)
    assert not head.state_dict()
    features = torch.ones(2, 6)
    assert head(features) is features


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"kind": "linear"}, "needs dim"),
        ({"kind": "none", "dim": 4}, "remove dim"),
        ({"kind": "linear", "dim": 4, "hidden": (8,)}, "does not take 1 hidden widths"),
        ({"kind": "wide", "dim": 4}, "does not take 0 hidden widths"),
        ({"kind": "mlp", "dim": 4}, "does not take 0 hidden widths"),
        ({"kind": "mlp", "dim": 4, "hidden": (0,)}, "greater than or equal to 1"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(config: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        HeadConfig.model_validate(config)
