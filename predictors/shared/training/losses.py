"""Losses of a batch of vectors against its targets, in float32 whatever the vectors' precision."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, normalize

from ensembler.training.recipe import Loss


def loss_of(vectors: torch.Tensor, targets: torch.Tensor, loss: Loss) -> torch.Tensor:
    """The weighted sum of a recipe's losses.

    With c[i, j] = cos(vector i, target j) and s = scale:

    - cosine: mean of 1 - c[i, i];
    - ranking: mean over i of -log softmax_j(s c[i, j]) at j = i, the multiple negatives ranking
      loss of Henderson et al. 2017;
    - info_nce: half of that, and half of the same of the transposed matrix (Radford et al. 2021).

    A vector of zero length has the cosine 0 with everything. A target that stands in the batch
    twice counts as its own negative, as in the published losses.

    Args:
        vectors: (n, d).
        targets: (n, d), of unit length.
        loss: the weights and the scale.

    Returns:
        A scalar float32.
    """
    units, targets = normalize(vectors.float(), dim=-1), targets.float()
    total = loss.cosine * (1.0 - (units * targets).sum(dim=-1)).mean()
    if not (loss.ranking or loss.info_nce):
        return total
    scores = loss.scale * units @ targets.T
    own = torch.arange(len(scores), device=scores.device)
    finds_target = cross_entropy(scores, own)
    total = total + (loss.ranking + loss.info_nce / 2) * finds_target
    if loss.info_nce:
        total = total + loss.info_nce / 2 * cross_entropy(scores.T, own)
    return total
