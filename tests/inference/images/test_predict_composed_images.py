"""A composed spec applied to a folder of images: plain weights until all its members are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ensembler.inference.missing import blend_without
from ensembler.inference.prediction import ImagePrediction, Prediction
from ensembler.metrics import unit_rows
from ensembler.spec.numbers import decode_vector
from tests.composed_specs import composed, every_kind, row_by_hand

MakeWorld = Callable[..., Any]
PAIR = {"a": {"noise": 0.1}, "b": {"noise": 0.4}}


def by_hand(world: Any) -> NDArray[np.float64]:  # noqa: ANN401 - tests/inference/images/conftest.py
    """The composed blend, image by image."""
    dim = world.spec.dim
    prior = unit_rows(decode_vector(world.spec.weighted.prior.vector)[None])[0]
    rows = []
    for path in sorted(world.images.iterdir()):
        seen = world.features(np.asarray(Image.open(path))[None])[0]
        members = {name: seen @ of[0].astype(np.float64) for name, of in world.matrices.items()}
        rows.append(row_by_hand(every_kind(list(PAIR), dim), members, prior))
    return np.array(rows)


def test_images_become_the_composed_blend_of_all_members(make_world: MakeWorld) -> None:
    world = make_world(PAIR)
    prediction = world.predict(spec=composed(world.spec, every_kind(list(PAIR), world.spec.dim)))
    np.testing.assert_allclose(prediction.embeddings, by_hand(world), atol=1e-4)
    assert not prediction.is_degraded
    assert prediction.expected_loss == 0.0


def test_the_first_submission_is_of_plain_weights_and_the_last_of_the_composed_blend(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Prediction] = []
    monkeypatch.setattr(ImagePrediction, "to_submission", lambda given, *_: written.append(given))
    world = make_world(PAIR)
    world.predict(spec=composed(world.spec, every_kind(list(PAIR), world.spec.dim)))
    first, last = written
    (missing,) = first.missing_members
    expected = world.naive(blend_without(world.spec, [missing]))
    np.testing.assert_allclose(first.embeddings, expected, atol=1e-5)
    np.testing.assert_allclose(last.embeddings, by_hand(world), atol=1e-4)


def test_a_member_that_fails_leaves_the_plain_weights_of_the_others(make_world: MakeWorld) -> None:
    world = make_world(PAIR)
    world.fault(a={"exit_at": 0})
    prediction = world.predict(spec=composed(world.spec, every_kind(list(PAIR), world.spec.dim)))
    assert prediction.missing_members == ("a",)
    expected = world.naive(blend_without(world.spec, ["a"]))
    np.testing.assert_allclose(prediction.embeddings, expected, atol=1e-5)
