"""Ranking of a vocabulary's phrases by their cosine with an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from predictors.interrogator.clip import Clip
from predictors.interrogator.phrase_cache import phrase_vectors
from predictors.interrogator.vocabulary import PhraseList


class _Embedded(NamedTuple):
    """A list of phrases and their vectors, (phrases, dim) float32 of unit length."""

    phrases: PhraseList
    vectors: torch.Tensor


class PhraseRanking:
    """Embedded lists of phrases, to be ranked for images.

    They are ranked by cosine: inner products would favour phrases with long vectors.
    """

    def __init__(self, clip: Clip, lists: Sequence[PhraseList]) -> None:
        """Embed the phrases, or find them in the cache.

        Args:
            clip: the model that embeds them.
            lists: the lists of phrases, with the number to take of each.
        """
        self._lists = [
            _Embedded(of, torch.from_numpy(phrase_vectors(clip, of.phrases)).to(clip.device))
            for of in lists
        ]

    def best(self, images: torch.Tensor) -> list[list[str]]:
        """The phrases of each list with the largest cosines, in falling order over all lists.

        Args:
            images: (n, dim) float32 of unit length, on the lists' device.

        Returns:
            n lists of phrases, each phrase once.
        """
        ranked: list[list[tuple[float, str]]] = [[] for _ in images]
        # In half precision many phrases would tie.
        with torch.inference_mode(), torch.autocast(images.device.type, enabled=False):
            for of, vectors in self._lists:
                cosines, lines = (images @ vectors.T).topk(of.wanted)
                for row, values, best in zip(ranked, cosines.tolist(), lines.tolist(), strict=True):
                    phrases = (of.phrases[line] for line in best)
                    row += zip(values, phrases, strict=True)
        return [_in_order(row) for row in ranked]


def _in_order(ranked: list[tuple[float, str]]) -> list[str]:
    """Phrases by falling cosine, ties in alphabetical order; one in two lists appears once."""
    ordered = sorted(ranked, key=lambda pair: (-pair[0], pair[1]))
    return list(dict.fromkeys(phrase for _, phrase in ordered))
