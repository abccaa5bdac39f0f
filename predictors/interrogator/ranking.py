"""Which phrases of a vocabulary are nearest to an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from predictors.interrogator.clip import Clip
from predictors.interrogator.phrase_cache import phrase_vectors
from predictors.interrogator.vocabulary import PhraseList


class _Ranked(NamedTuple):
    """A list of phrases and where they lie: (phrases, dim) float32 of unit length."""

    of: PhraseList
    vectors: torch.Tensor


class PhraseRanking:
    """Lists of phrases, ready to be ranked for images.

    By cosine: raw products would prefer phrases whose vectors happen to be long.
    """

    def __init__(self, clip: Clip, lists: Sequence[PhraseList]) -> None:
        """Embed the phrases, or find them in the cache.

        Args:
            clip: of which space they shall be.
            lists: with how many of each are wanted.
        """
        self._lists = [
            _Ranked(one, torch.from_numpy(phrase_vectors(clip, one.phrases)).to(clip.device))
            for one in lists
        ]

    def best(self, images: torch.Tensor) -> list[list[str]]:
        """Of each list the phrases of the largest cosine, the largest of all lists first.

        Args:
            images: (n, dim) float32 of unit length, on the lists' device.

        Returns:
            n lists of phrases, each phrase once.
        """
        found: list[list[tuple[float, str]]] = [[] for _ in images]
        # In half precision many phrases would tie.
        with torch.inference_mode(), torch.autocast(images.device.type, enabled=False):
            for of, vectors in self._lists:
                cosines, places = (images @ vectors.T).topk(of.wanted)
                for row, values, lines in zip(
                    found, cosines.tolist(), places.tolist(), strict=True
                ):
                    phrases = (of.phrases[line] for line in lines)
                    row += zip(values, phrases, strict=True)
        return [_in_order(row) for row in found]


def _in_order(found: list[tuple[float, str]]) -> list[str]:
    """Phrases by falling cosine, equal ones by the alphabet; what two lists share stands once."""
    ordered = sorted(found, key=lambda one: (-one[0], one[1]))
    return list(dict.fromkeys(phrase for _, phrase in ordered))
