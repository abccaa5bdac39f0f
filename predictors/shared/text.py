"""From what a captioner says of images to vectors: the last step of every captioner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import PredictorError, StoreError
from ensembler.predicting.contract import Described, Role
from ensembler.store.encoder import TextEncoder, load_encoder

ENCODER: Final = Role("a sentence encoder's folder; the packaged MiniLM without", required=False)
BETWEEN: Final = " | "  # hypotheses of one image, where they are shown as one text


class TextHead(NamedTuple):
    """A sentence encoder and the words that frame every text before it is encoded.

    Attributes:
        encoder: on the CPU.
        dim: numbers in one of its vectors.
        prefix: what every text begins with, as it stands: a space in between is part of it.
        suffix: what every text ends with.
    """

    encoder: TextEncoder
    dim: int
    prefix: str = ""
    suffix: str = ""

    def describe(self, hypotheses: Sequence[Sequence[str]]) -> Described:
        """What is said of a batch, framed, and its vectors.

        Args:
            hypotheses: the texts of each image, at least one; an empty text is a text.

        Returns:
            (n, dim) float32 vectors, and the framed texts they were made from.
        """
        framed = [[f"{self.prefix}{text}{self.suffix}" for text in texts] for texts in hypotheses]
        embeddings = embed_texts(self.encoder, framed) if framed else np.zeros((0, self.dim))
        captions = tuple(BETWEEN.join(texts) for texts in framed)
        return Described(embeddings.astype(np.float32, copy=False), captions)


def load_text_head(folder: Path | None, *, prefix: str = "", suffix: str = "") -> TextHead:
    """Load the encoder of a captioner.

    Args:
        folder: what the role `encoder` names; None takes the MiniLM that a package brings along.
        prefix: of every text.
        suffix: of every text.

    Raises:
        PredictorError: the folder is no sentence encoder's, or the libraries are not installed.
    """
    try:
        encoder = load_encoder(folder)
    except StoreError as error:
        raise PredictorError(f"encoder: {error}") from error
    return TextHead(encoder, encoder.encode([""]).shape[1], prefix, suffix)


def embed_texts(encoder: TextEncoder, texts: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """The mean of the unit vectors of each image's texts.

    Hypotheses that agree give a vector near unit length, those that differ a shorter one: its
    length is the captioner's confidence, and whether it counts is for the blend's norm to say.

    The encoder computes in float32, whatever the captioner does: so were the targets made.

    Args:
        encoder: a sentence encoder.
        texts: of each of n images, n at least 1, one text or more; numbers may differ.

    Returns:
        (n, d) float32.
    """
    import torch

    with torch.autocast("cpu", enabled=False):
        vectors = encoder.encode([text for several in texts for text in several]).astype(np.float64)
    counts = np.array([len(several) for several in texts])
    starts = np.concatenate([[0], counts[:-1].cumsum()])
    means: NDArray[np.float64] = np.add.reduceat(vectors, starts, axis=0) / counts[:, None]
    return means.astype(np.float32)
