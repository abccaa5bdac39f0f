"""Losses against sums written out in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ensembler.metrics import unit_rows
from ensembler.training.recipe import Loss
from predictors.shared.training.losses import loss_of

Vectors = NDArray[np.float64]


def drawn(rows: int = 5) -> tuple[Vectors, Vectors]:
    rng = np.random.default_rng(0)
    return 3.0 * rng.normal(size=(rows, 4)), unit_rows(rng.normal(size=(rows, 4)))


def computed(vectors: Vectors, targets: Vectors, loss: Loss) -> float:
    return float(loss_of(torch.from_numpy(vectors), torch.from_numpy(targets), loss))


def naive(vectors: Vectors, targets: Vectors, scale: float) -> dict[str, float]:
    """Each loss by its definition."""
    rows = range(len(vectors))
    cosines = [[float(v @ t / np.linalg.norm(v)) for t in targets] for v in vectors]

    def surprise(scores: list[float], own: int) -> float:
        return -math.log(math.exp(scores[own]) / sum(map(math.exp, scores)))

    images = [surprise([scale * cosines[i][j] for j in rows], i) for i in rows]
    texts = [surprise([scale * cosines[j][i] for j in rows], i) for i in rows]
    return {
        "cosine": sum(1.0 - cosines[i][i] for i in rows) / len(rows),
        "ranking": sum(images) / len(rows),
        "info_nce": (sum(images) + sum(texts)) / 2 / len(rows),
    }


@pytest.mark.parametrize("name", ["cosine", "ranking", "info_nce"])
def test_a_loss_is_its_definition(name: str) -> None:
    vectors, targets = drawn()
    loss = Loss.model_validate({name: 1.0, "scale": 7.0})
    wanted = naive(vectors, targets, 7.0)[name]
    assert computed(vectors, targets, loss) == pytest.approx(wanted, rel=1e-5)


def test_losses_are_added_by_their_weights() -> None:
    vectors, targets = drawn()
    wanted = naive(vectors, targets, 20.0)
    loss = Loss(cosine=0.5, ranking=2.0, info_nce=0.25)
    total = 0.5 * wanted["cosine"] + 2.0 * wanted["ranking"] + 0.25 * wanted["info_nce"]
    assert computed(vectors, targets, loss) == pytest.approx(total, rel=1e-5)


def test_no_loss_depends_on_the_length_of_vectors() -> None:
    vectors, targets = drawn()
    loss = Loss(cosine=1.0, info_nce=1.0)
    scaled = vectors * np.arange(1.0, 6.0)[:, None]
    assert computed(scaled, targets, loss) == pytest.approx(computed(vectors, targets, loss))


def test_a_vector_of_no_length_has_a_loss_and_a_gradient() -> None:
    vectors = torch.zeros(2, 4, requires_grad=True)
    loss = loss_of(vectors, torch.eye(4)[:2], Loss(cosine=1.0))
    loss.backward()
    assert loss.item() == 1.0
    assert torch.isfinite(vectors.grad).all()
