"""Embedding of captions, the last step of every captioner."""

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
BETWEEN: Final = " | "  # joins the hypotheses of one image into one text to show


class TextHead(NamedTuple):
    """A sentence encoder and the prefix and suffix of every text that it encodes.

    Attributes:
        encoder: the sentence encoder, on the CPU.
        dim: vector dimension.
        prefix: put before every text as it is: a space in between is part of it.
        suffix: put after every text as it is.
    """

    encoder: TextEncoder
    dim: int
    prefix: str = ""
    suffix: str = ""

    def describe(self, hypotheses: Sequence[Sequence[str]]) -> Described:
        """Embed the texts of a batch, with prefix and suffix.

        Args:
            hypotheses: the texts of each image, at least one each; a text may be empty.

        Returns:
            Vectors, (n, dim) float32, and the texts with prefix and suffix that they are made from.
        """
        framed = [[f"{self.prefix}{text}{self.suffix}" for text in texts] for texts in hypotheses]
        embeddings = embed_texts(self.encoder, framed) if framed else np.zeros((0, self.dim))
        captions = tuple(BETWEEN.join(texts) for texts in framed)
        return Described(embeddings.astype(np.float32, copy=False), captions)


def load_text_head(folder: Path | None, *, prefix: str = "", suffix: str = "") -> TextHead:
    """Load the sentence encoder of a captioner.

    Args:
        folder: the folder that the role `encoder` names; None for the packaged MiniLM.
        prefix: prefix of every text.
        suffix: suffix of every text.

    Raises:
        PredictorError: the folder does not hold a sentence encoder, or libraries are missing.
    """
    try:
        encoder = load_encoder(folder)
    except StoreError as error:
        raise PredictorError(f"encoder: {error}") from error
    return TextHead(encoder, encoder.encode([""]).shape[1], prefix, suffix)


def embed_texts(encoder: TextEncoder, texts: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """The mean of the unit vectors of each image's texts.

    Hypotheses that agree give a vector near unit length, others a shorter one: its length is the
    captioner's confidence, and the blend's norm decides whether it counts.

    The encoder computes in float32, whatever the captioner does, as it did for the targets.

    Args:
        encoder: a sentence encoder.
        texts: for each of n ≥ 1 images, one or more texts; their number may differ.

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
