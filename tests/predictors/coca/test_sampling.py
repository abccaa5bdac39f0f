"""Sampling of texts: by the model's probabilities, and reproducible by an image's pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from predictors.coca.beams import Bounds, Hypothesis
from predictors.coca.sampling import sample_top_k, uniform_numbers

END, START, VOCABULARY = 4, 5, 6
BOUNDS = Bounds(START, END, 0, 5)


def logits_of(tokens: list[int]) -> np.ndarray:
    return np.random.default_rng(tokens).normal(size=VOCABULARY)


def step(tokens: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.array([logits_of(row) for row in tokens.tolist()]))


def draw(uniform: np.ndarray, bounds: Bounds = BOUNDS, **how: float) -> list[Hypothesis]:
    options = {"top_k": VOCABULARY, "temperature": 1.0, **how}
    numbers = torch.from_numpy(uniform.astype(np.float32))
    return sample_top_k(
        step, numbers, bounds, top_k=int(options["top_k"]), temperature=options["temperature"]
    )


@pytest.mark.parametrize(("top_k", "temperature"), [(6, 1.0), (3, 1.0), (3, 0.5), (99, 2.0)])
def test_tokens_are_drawn_as_often_as_the_likeliest_are_likely(
    top_k: int, temperature: float
) -> None:
    count = 1000
    first = (np.arange(count) + 0.5) / count
    drawn = draw(first[:, None], BOUNDS._replace(longest=1), top_k=top_k, temperature=temperature)
    said = [one.tokens[0] if one.tokens else END for one in drawn]
    logits = logits_of([START])
    likely = np.exp(logits / temperature)
    likely[np.argsort(-logits)[top_k:]] = 0.0
    expected = count * likely / likely.sum()
    assert np.abs(np.bincount(said, minlength=VOCABULARY) - expected).max() <= 1.0


def test_a_score_is_the_models_own_mean_log_probability() -> None:
    for one in draw(np.random.default_rng(1).random((20, 5)), temperature=3.0):
        whole = one.tokens if len(one.tokens) == BOUNDS.longest else [*one.tokens, END]
        said, total = [START], 0.0
        for token in whole:
            logits = logits_of(said)
            total += logits[token] - math.log(np.exp(logits).sum())
            said.append(token)
        assert one.score == pytest.approx(total / len(whole), abs=1e-5)


def test_one_candidate_is_the_likeliest_token_whatever_is_drawn() -> None:
    texts = [one.tokens for one in draw(np.random.default_rng(2).random((8, 5)), top_k=1)]
    assert all(text == texts[0] for text in texts)
    assert texts[0][:1] == [token for token in [int(logits_of([START]).argmax())] if token != END]


def test_a_text_is_neither_shorter_nor_longer_than_asked() -> None:
    uniform = np.random.default_rng(3).random((200, 5))
    lengths = {len(one.tokens) for one in draw(uniform)}
    assert lengths == {0, 1, 2, 3, 4, 5}
    assert {len(one.tokens) for one in draw(uniform, BOUNDS._replace(shortest=3))} == {3, 4, 5}


def test_numbers_depend_on_the_image_and_not_on_its_batch() -> None:
    images = np.random.default_rng(4).integers(0, 256, (3, 4, 4, 3), np.uint8)
    together = uniform_numbers(images, 2, 5, seed=7)
    assert together.shape == (6, 5)
    assert len(np.unique(together)) == together.size
    assert (together >= 0).all()
    assert (together < 1).all()
    turned = uniform_numbers(images[::-1], 2, 5, seed=7)
    np.testing.assert_array_equal(turned[4:], together[:2])
    assert not np.isin(uniform_numbers(images, 2, 5, seed=8), together).any()
