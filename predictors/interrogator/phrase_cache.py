"""A disk cache of phrases' vectors: CLIP takes longer for a hundred thousand than for many images.

The entry of a list is keyed by the model's digest and the phrases.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray

from ensembler.arrays import read_array
from ensembler.caching import cache_folder, lock_entry, mark_used
from ensembler.files import BROKEN, atomic_write, sha256_json
from predictors.interrogator.clip import Clip


def phrase_vectors(clip: Clip, phrases: Sequence[str]) -> NDArray[np.float32]:
    """The vectors of phrases, from the cache if they were embedded before.

    Args:
        clip: the model that embeds them otherwise.
        phrases: at least one phrase.

    Returns:
        (phrases, clip.dim) float32, of unit length.
    """
    entry = cache_folder() / f"{_key(clip, phrases)}.npy"
    shape = (len(phrases), clip.dim)
    vectors = _read(entry, shape)
    if vectors is None:
        # One process embeds; one on another device waits and reads the result.
        with lock_entry(entry):
            vectors = _read(entry, shape)
            if vectors is None:
                vectors = clip.texts(phrases)
                with suppress(OSError), atomic_write(entry) as file:  # a full disk costs only time
                    np.save(file, vectors, allow_pickle=False)
    mark_used(entry)
    return vectors


def _key(clip: Clip, phrases: Sequence[str]) -> str:
    return sha256_json(
        {
            # Other versions or another kind of device may round differently.
            "open_clip": open_clip.__version__,
            "torch": torch.__version__,
            "device": torch.device(clip.device).type,
            "clip": clip.digest,
            "phrases": list(phrases),
        }
    )


def _read(entry: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The vectors of an entry; None where it is missing or damaged."""
    try:
        vectors: NDArray[np.float32] = read_array(entry)
    except BROKEN:
        return None
    whole = vectors.shape == shape and vectors.dtype == np.float32
    return vectors if whole else None
