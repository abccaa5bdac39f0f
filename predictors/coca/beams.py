"""Beam search over any model that scores next tokens.

open_clip's own search needs a class that transformers no longer has, returns only one text per
image, and adds up logits where it should add log-probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

Step = Callable[[torch.Tensor], torch.Tensor]  # (rows, length) tokens → (rows, vocabulary) logits


class Bounds(NamedTuple):
    """The tokens that begin and end a text, and the limits of its length.

    Attributes:
        start: the token before the first.
        end: the token after the last.
        shortest: minimum number of tokens before the end.
        longest: number of tokens after which a text is cut, the end counted.
    """

    start: int
    end: int
    shortest: int
    longest: int


class Hypothesis(NamedTuple):
    """A text and the model's score of it.

    Attributes:
        tokens: the text's tokens, without start and end.
        score: the mean log-probability of a token, the end counted; NaN where the model's logits
            are.
    """

    tokens: list[int]
    score: float


class _Best(NamedTuple):
    """The best texts that have ended so far, in descending order.

    Attributes:
        scores: (images, beams) float32; -inf where fewer texts have ended.
        tokens: (images, beams, longest + 1) int64, padded with the end token.
    """

    scores: torch.Tensor
    tokens: torch.Tensor


def beam_search(
    step: Step, images: int, beams: int, bounds: Bounds, device: str
) -> list[list[Hypothesis]]:
    """Search for the likeliest texts of each image.

    Texts compete by `Hypothesis.score`. An image's search ends when it has as many ended texts as
    beams, and the best running text is not better than the worst of them. This is transformers'
    default, and the results are the same.

    Args:
        step: gives the logits of the next token after each row of tokens; each image has `beams`
            consecutive rows.
        images: number of images.
        beams: number of running texts per image.
        bounds: the bounds of every text.
        device: the device of the tokens given to `step`.

    Returns:
        The texts of each image, best first: as many as beams, or all there are.
    """
    tokens = torch.full((images * beams, 1), bounds.start, device=device)
    # All beams begin alike: only the first counts, or each text would be found many times.
    sums = torch.full((images, beams), -math.inf, device=device)
    sums[:, 0] = 0.0
    best = _Best(
        torch.full((images, beams), -math.inf, device=device),
        torch.full((images, beams, bounds.longest + 1), bounds.end, device=device),
    )
    searching = torch.ones((images, 1), dtype=torch.bool, device=device)
    for length in range(1, bounds.longest + 1):
        logs = log_probabilities(step(tokens), length, bounds).view(images, beams, -1)
        # A beam can end in only one way, so among twice as many there are enough that go on.
        totals, index = (sums[..., None] + logs).flatten(1).topk(2 * beams)
        parent, token = index // logs.shape[2], index % logs.shape[2]
        before = tokens.view(images, beams, length).gather(1, _along(parent, length))
        after = torch.cat([before, token[..., None]], dim=2)
        ended = (token == bounds.end) | (length == bounds.longest)
        ranked = torch.arange(2 * beams, device=device) < beams
        counted = (totals / length).masked_fill(~(ended & ranked & searching), -math.inf)
        best = _merge(best, counted, after)
        sums, kept = totals.masked_fill(ended, -math.inf).topk(beams)
        tokens = after.gather(1, _along(kept, length + 1)).flatten(0, 1)
        searching &= ~(best.scores[:, -1:] >= sums[:, :1] / length)
        if not searching.any():
            break
    return [
        [
            Hypothesis(inner(row, bounds), score)
            for row, score in zip(rows, scores, strict=True)
            if score != -math.inf
        ]
        for rows, scores in zip(best.tokens.tolist(), best.scores.tolist(), strict=True)
    ]


def log_probabilities(logits: torch.Tensor, length: int, bounds: Bounds) -> torch.Tensor:
    """Log-probabilities of the next token, with the end forbidden while a text is too short.

    Args:
        logits: (rows, vocabulary), of any float type.
        length: the token's position; the first is 1.
        bounds: the bounds of every text.

    Returns:
        (rows, vocabulary) float32.
    """
    logs = logits.float().log_softmax(dim=-1)
    if length <= bounds.shortest:
        logs[:, bounds.end] = -math.inf
    return logs


def inner(row: list[int], bounds: Bounds) -> list[int]:
    """A text's tokens, without its start, and up to its end if it has one."""
    return row[1 : row.index(bounds.end, 1)] if bounds.end in row[1:] else row[1:]


def _merge(best: _Best, scores: torch.Tensor, tokens: torch.Tensor) -> _Best:
    """The best of the texts that ended before and now; `tokens` has shape (images, n, length)."""
    missing = best.tokens.shape[2] - tokens.shape[2]
    whole = torch.nn.functional.pad(tokens, (0, missing), value=int(best.tokens[0, 0, -1]))
    scores, index = torch.cat([best.scores, scores], dim=1).topk(best.scores.shape[1])
    every = torch.cat([best.tokens, whole], dim=1)
    return _Best(scores, every.gather(1, _along(index, every.shape[2])))


def _along(index: torch.Tensor, length: int) -> torch.Tensor:
    """Repeat positions of texts, (images, n), along their tokens, for `gather` of whole texts."""
    return index[..., None].expand(-1, -1, length)
