"""Which images' texts were searched for with scores that are no numbers."""

from __future__ import annotations

import numpy as np
import torch
from transformers import LogitsProcessor


class NanWatch(LogitsProcessor):
    """Changes no score, and remembers for which images one was NaN, as half precision makes them.

    Attributes:
        seen: (images,) bool.
    """

    def __init__(self, images: int) -> None:
        """Begin with none seen.

        Args:
            images: in the batch; each has as many rows of scores as there are beams.
        """
        self.seen = np.zeros(images, dtype=bool)

    def __call__(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores, (images × beams, vocabulary), as they are."""
        of_beams = scores.isnan().any(dim=1).reshape(len(self.seen), -1)
        self.seen |= of_beams.any(dim=1).cpu().numpy()
        return scores
