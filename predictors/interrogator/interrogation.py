"""A loaded interrogator as a captioner."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.images.preprocess import Preprocess
from ensembler.images.resize import resized
from ensembler.predicting.contract import Captioner, Described
from predictors.interrogator.clip import Clip
from predictors.interrogator.ranking import PhraseRanking
from predictors.shared.text import BETWEEN, TextHead

SEPARATOR: Final = ", "  # as people write prompts


class Interrogation:
    """A `Captioner` made of a captioner, a CLIP and a vocabulary.

    Attributes:
        dim: vector dimension of the sentence encoder.
        preprocess: the captioner's or CLIP's, whichever is larger; images for the other are scaled
            down from it.
        encoder_record: the sentence encoder.
    """

    def __init__(
        self, captioner: Captioner, clip: Clip, ranking: PhraseRanking, head: TextHead
    ) -> None:
        self.dim, self.encoder_record = head.dim, head.encoder.record
        self.preprocess = max(captioner.preprocess, clip.preprocess, key=_area)
        self._captioner, self._clip, self._ranking, self._head = captioner, clip, ranking, head

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vectors of the joined texts: (n, dim) float32."""
        return self.describe(images).embeddings

    def describe(self, images: NDArray[np.uint8]) -> Described:
        """For each image, the captioner's best text joined with CLIP's phrases, and its vector.

        A vector is NaN where the captioner's or CLIP's is not finite.
        """
        if not len(images):
            return self._head.describe([])
        captioned = self._captioner.describe(self._resize(images, self._captioner.preprocess))
        vectors = self._clip.images(self._resize(images, self._clip.preprocess))
        texts = [
            [SEPARATOR.join([caption.partition(BETWEEN)[0], *phrases])]
            for caption, phrases in zip(
                captioned.captions, self._ranking.best(vectors), strict=True
            )
        ]
        described = self._head.describe(texts)
        finite = np.isfinite(captioned.embeddings).all(axis=1)
        finite &= vectors.isfinite().all(dim=1).cpu().numpy()
        described.embeddings[~finite] = np.nan
        return described

    def _resize(self, images: NDArray[np.uint8], wanted: Preprocess) -> NDArray[np.uint8]:
        from PIL import Image

        if wanted.geometry == self.preprocess.geometry:
            return images
        return np.stack([resized(Image.fromarray(image), wanted) for image in images])


def _area(preprocess: Preprocess) -> int:
    return preprocess.height * preprocess.width
