"""Beam search over any model that scores next tokens.

open_clip's own needs a class that transformers no longer has, returns one text for each image, and
adds up logits where it should add log-probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

Step = Callable[[torch.Tensor], torch.Tensor]  # (rows, length) tokens → (rows, vocabulary) logits


class Bounds(NamedTuple):
    """Where a text begins and ends.

    Attributes:
        start: the token before the first.
        end: the token after the last.
        shortest: as many tokens come before the end, at least.
        longest: a text is cut after as many tokens, the end counted.
    """

    start: int
    end: int
    shortest: int
    longest: int


class Hypothesis(NamedTuple):
    """A text as a model scores it.

    Attributes:
        tokens: without start and end.
        score: the mean log-probability of a token, the end counted; NaN where the model's logits
            are.
    """

    tokens: list[int]
    score: float


class _Best(NamedTuple):
    """The best texts that ended so far, in descending order; scores are -inf where there is none.

    Attributes:
        scores: (images, beams) float32.
        tokens: (images, beams, longest + 1) int64; after the end there are only ends.
    """

    scores: torch.Tensor
    tokens: torch.Tensor


def beam_search(
    step: Step, images: int, beams: int, bounds: Bounds, device: str
) -> list[list[Hypothesis]]:
    """The likeliest texts of each image, as far as so many beams see.

    Texts compete by `Hypothesis.score`. An image's search is over when it has as many ended texts
    as beams and the best running one is no better than the worst of them: transformers' default,
    whose results these are.

    Args:
        step: logits of the next token after each row of tokens; the rows of an image stand
            together, `beams` of them.
        images: how many.
        beams: how many texts of an image run at once.
        bounds: of every text.
        device: where tokens are given to `step`.

    Returns:
        For each image its texts, the best first: as many as beams, or all there are.
    """
    tokens = torch.full((images * beams, 1), bounds.start, device=device)
    # All beams begin alike: only the first counts, or the same texts would be found many times.
    sums = torch.full((images, beams), -math.inf, device=device)
    sums[:, 0] = 0.0
    best = _Best(
        torch.full((images, beams), -math.inf, device=device),
        torch.full((images, beams, bounds.longest + 1), bounds.end, device=device),
    )
    searching = torch.ones((images, 1), dtype=torch.bool, device=device)
    for length in range(1, bounds.longest + 1):
        logs = log_probabilities(step(tokens), length, bounds).view(images, beams, -1)
        # Each beam ends in one way only, so among twice as many there are enough that run on.
        found, index = (sums[..., None] + logs).flatten(1).topk(2 * beams)
        parent, token = index // logs.shape[2], index % logs.shape[2]
        before = tokens.view(images, beams, length).gather(1, _along(parent, length))
        after = torch.cat([before, token[..., None]], dim=2)
        ended = (token == bounds.end) | (length == bounds.longest)
        ranked = torch.arange(2 * beams, device=device) < beams
        counted = (found / length).masked_fill(~(ended & ranked & searching), -math.inf)
        best = _better(best, counted, after)
        sums, kept = found.masked_fill(ended, -math.inf).topk(beams)
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
    """Of the token at a position, the end forbidden where a text would be too short.

    Args:
        logits: (rows, vocabulary), of any float type.
        length: the token's position; the first is 1.
        bounds: of every text.

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


def _better(best: _Best, scores: torch.Tensor, tokens: torch.Tensor) -> _Best:
    """The best of those that ended before and now; `tokens` are still (images, n, length)."""
    missing = best.tokens.shape[2] - tokens.shape[2]
    whole = torch.nn.functional.pad(tokens, (0, missing), value=int(best.tokens[0, 0, -1]))
    scores, index = torch.cat([best.scores, scores], dim=1).topk(best.scores.shape[1])
    every = torch.cat([best.tokens, whole], dim=1)
    return _Best(scores, every.gather(1, _along(index, every.shape[2])))


def _along(index: torch.Tensor, length: int) -> torch.Tensor:
    """(images, n) positions of texts as (images, n, length), for `gather` of whole texts."""
    return index[..., None].expand(-1, -1, length)
