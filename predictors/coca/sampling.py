"""Top-k sampling from a model that scores next tokens, reproducible for each image."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from predictors.coca.beams import Bounds, Hypothesis, Step, inner, log_probabilities


def sample_top_k(
    step: Step, uniform: torch.Tensor, bounds: Bounds, *, top_k: int, temperature: float
) -> list[Hypothesis]:
    """Draw one text for each row, token by token from the likeliest, by their probabilities.

    Args:
        step: gives the logits of the next token after each row of tokens.
        uniform: (rows, bounds.longest) in [0, 1); each decides one token.
        bounds: the bounds of every text.
        top_k: number of likeliest tokens to draw from.
        temperature: divides the logits; the higher, the more even the draw.

    Returns:
        One text for each row, with the model's score at temperature 1 and among all tokens, which
        is comparable with that of a beam search.
    """
    rows, device = len(uniform), uniform.device
    tokens = torch.full((rows, 1), bounds.start, device=device)
    sums = torch.zeros(rows, device=device)
    lengths = torch.zeros(rows, device=device)
    running = torch.ones(rows, dtype=torch.bool, device=device)
    for length in range(1, bounds.longest + 1):
        logs = log_probabilities(step(tokens), length, bounds)
        likeliest, index = logs.topk(min(top_k, logs.shape[1]))
        below = (likeliest / temperature).softmax(dim=-1).cumsum(dim=-1)
        # Rounding may leave the last sum short of a number close to 1.
        drawn = (below <= uniform[:, length - 1 : length]).sum(dim=1, keepdim=True)
        drawn = drawn.clamp(max=index.shape[1] - 1)
        token = index.gather(1, drawn)[:, 0].where(running, bounds.end)
        sums += likeliest.gather(1, drawn)[:, 0].where(running, 0.0)
        lengths += running
        tokens = torch.cat([tokens, token[:, None]], dim=1)
        running &= token != bounds.end
        if not running.any():
            break
    scores = (sums / lengths).tolist()
    return [
        Hypothesis(inner(row, bounds), score)
        for row, score in zip(tokens.tolist(), scores, strict=True)
    ]


def uniform_numbers(
    images: NDArray[np.uint8], draws: int, length: int, seed: int
) -> NDArray[np.float32]:
    """Random numbers that depend only on an image's pixels, not on the rest of its batch.

    Args:
        images: (n, height, width, 3) uint8.
        draws: number of texts per image.
        length: number of random numbers per text.
        seed: random seed.

    Returns:
        (n * draws, length) float32 in [0, 1), the rows of an image together.
    """
    numbers = np.empty((len(images), draws, length), dtype=np.float32)
    for image, row in zip(images, numbers, strict=True):
        pixels = int.from_bytes(hashlib.sha256(image.tobytes()).digest())
        row[:] = np.random.default_rng([seed, pixels]).random(row.shape, dtype=np.float32)
    return numbers.reshape(-1, length)
