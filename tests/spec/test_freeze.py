"""From weights in memory to the nine digits of a spec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ensembler.blending.weighting import Weighting
from ensembler.metrics import unit_rows
from ensembler.spec.freeze import freeze_blend, norm_of, round_number, versions
from ensembler.spec.numbers import decode_vector
from ensembler.spec.thaw import thaw_weighted
from ensembler.store.reader import Store

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("weight", "digits"),
    [
        (0.12345678949, 0.123456789),
        (1 / 3, 0.333333333),
        (-2e-20 / 3, -6.66666667e-21),
        (1.0, 1.0),
        (0.0, 0.0),
    ],
)
def test_weights_carry_nine_significant_digits(weight: float, digits: float) -> None:
    assert round_number(weight) == digits


def test_norms_are_named_by_their_exponents() -> None:
    assert [norm_of(alpha) for alpha in (0.0, 1.0, 0.5, 2.0)] == ["none", "l2", "power", "power"]


def test_a_frozen_blend_has_means_only_when_centred_and_no_member_of_weight_0(
    small: Store, prepare: Make
) -> None:
    _, statistics = prepare(small)
    for centred in (False, True):
        weighting = Weighting(
            centred=centred, alphas=(0.0, 1.0, 0.25, 1.0), weights=(0.1, 0.2, 0.0, 0.3, 0.4)
        )
        blend = freeze_blend(weighting, statistics, small)
        assert [(m.name, m.norm, m.weight) for m in blend.members] == [
            ("m0", "none", 0.2),
            ("m2", "power", 0.3),
            ("m3", "l2", 0.4),
        ]
        means = thaw_weighted(blend).numbers.means
        if not centred:
            assert means is None
            continue
        assert means is not None
        for member, mean in zip(blend.members, means, strict=True):
            embeddings = small.member(member.name).embeddings.astype(np.float64)
            np.testing.assert_allclose(mean, embeddings.mean(axis=0), atol=1e-7)


def test_the_frozen_prior_is_the_unit_mean_of_all_targets(small: Store, prepare: Make) -> None:
    _, statistics = prepare(small)
    weighting = Weighting(centred=False, alphas=(1.0,) * 4, weights=(1.0, 0.0, 0.0, 0.0, 0.0))
    prior = decode_vector(freeze_blend(weighting, statistics, small).prior.vector)
    expected = unit_rows(unit_rows(small.targets()).sum(axis=0, keepdims=True))[0]
    np.testing.assert_allclose(prior, expected, atol=1e-7)


def test_versions_name_what_can_change_a_fit() -> None:
    assert set(versions()) == {"ensembler", "numpy", "optuna", "scipy"}
