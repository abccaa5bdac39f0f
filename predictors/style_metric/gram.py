"""Style features: the co-activation of a convolutional network's channels, at any place."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def gram_features(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """The mean of each row of every map's Gram matrix, one number per channel.

    A map F with C channels at P places has the Gram matrix F Fᵀ / P (Gatys et al. 2016), which is
    independent of position. Row c's mean is that of F_c times the mean channel, so the matrix
    itself is never computed.

    Args:
        maps: (n, C, height, width) activations of any float type; C may differ between maps.

    Returns:
        (n, sum of C) float32: in half precision, products of activations would overflow.
    """
    wide = (activations.float() for activations in maps)
    return torch.cat([(f * f.mean(1, keepdim=True)).mean((2, 3)) for f in wide], dim=1)
