"""Losses of vectors against their targets, and of texts; float32 in every precision."""

from __future__ import annotations

from typing import Final

import torch
from torch.nn.functional import cross_entropy, normalize

from ensembler.training.recipe import Loss

PADDING: Final = -100  # fills the shorter texts of a batch; adds nothing to the loss
SCALE: Final = 20.0  # of cosines, where neither recipe nor model has another


def loss_of(
    vectors: torch.Tensor,
    targets: torch.Tensor,
    loss: Loss,
    learned_scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """The weighted sum of a recipe's losses of vectors.

    With c[i, j] = cos(vector i, target j) and s = scale:

    - cosine: mean of 1 - c[i, i];
    - ranking: mean over i of -log softmax_j(s c[i, j]) at j = i, the multiple negatives ranking
      loss of Henderson et al. 2017;
    - info_nce: half of that, and half of the same of the transposed matrix (Radford et al. 2021).

    A vector of zero length has the cosine 0 with everything. A target that occurs twice in the
    batch counts as its own negative, as in the published losses.

    Args:
        vectors: (n, d).
        targets: (n, d), of unit length.
        loss: the weights and the scale.
        learned_scale: the model's own, a scalar; used where the recipe sets none.

    Returns:
        A scalar float32.
    """
    units, targets = normalize(vectors.float(), dim=-1), targets.float()
    total = loss.cosine * (1.0 - (units * targets).sum(dim=-1)).mean()
    if not (loss.ranking or loss.info_nce):
        return total
    scale = SCALE if learned_scale is None else learned_scale.float()
    scores = (scale if loss.scale is None else loss.scale) * units @ targets.T
    diagonal = torch.arange(len(scores), device=scores.device)
    finds_target = cross_entropy(scores, diagonal)
    total = total + (loss.ranking + loss.info_nce / 2) * finds_target
    if loss.info_nce:
        total = total + loss.info_nce / 2 * cross_entropy(scores.T, diagonal)
    return total


def token_nll(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The negative log-likelihood of texts: -log softmax(logits) at each token, summed per row.

    Args:
        logits: (n, length, vocabulary), predictions of each token from those before it.
        tokens: (n, length) int64; PADDING adds nothing.

    Returns:
        (n,) float32, in nats.
    """
    costs: torch.Tensor = cross_entropy(
        logits.float().transpose(1, 2), tokens, ignore_index=PADDING, reduction="none"
    )
    return costs.sum(dim=1)
