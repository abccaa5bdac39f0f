"""Detection of NaN scores during a search for texts."""

from __future__ import annotations

import numpy as np
import torch
from transformers import LogitsProcessor


class NanWatch(LogitsProcessor):
    """A logits processor that changes no score, and records for which images one was NaN.

    Half precision makes NaN where it overflows.

    Attributes:
        seen: (images,) bool, whether a NaN was seen.
    """

    def __init__(self, images: int) -> None:
        """Start without any NaN seen.

        Args:
            images: number of images in the batch; each has one row of scores per beam.
        """
        self.seen = np.zeros(images, dtype=bool)

    def __call__(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores, (images × beams, vocabulary), unchanged."""
        of_beams = scores.isnan().any(dim=1).reshape(len(self.seen), -1)
        self.seen |= of_beams.any(dim=1).cpu().numpy()
        return scores
