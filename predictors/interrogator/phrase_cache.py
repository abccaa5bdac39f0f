"""Vectors of phrases on disk: a hundred thousand of them take CLIP longer than many images do.

A list's file is keyed by the model's digest and the phrases, so that nothing ever has to be
declared out of date; files can be deleted at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray

from ensembler.blending.cache import cache_folder
from ensembler.files import BROKEN, atomic_write, locked, sha256_json
from predictors.interrogator.clip import Clip


def phrase_vectors(clip: Clip, phrases: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of phrases, from the cache where they were made before.

    Args:
        clip: embeds those that were not.
        phrases: at least one.

    Returns:
        (phrases, clip.dim) float32, of unit length.
    """
    folder = cache_folder() / "phrases"
    folder.mkdir(parents=True, exist_ok=True)
    entry = folder / f"{_key(clip, phrases)}.npy"
    shape = (len(phrases), clip.dim)
    # One process embeds; another on the next device waits for what it finds.
    with locked(folder):
        kept = _read(entry, shape)
        if kept is not None:
            return kept
        vectors = clip.texts(phrases)
        with suppress(OSError), atomic_write(entry) as file:  # a full disk costs only time
            np.save(file, vectors, allow_pickle=False)
        return vectors


def _key(clip: Clip, phrases: Sequence[str]) -> str:
    return sha256_json(
        {
            # Other versions or another kind of device may round otherwise.
            "open_clip": open_clip.__version__,
            "torch": torch.__version__,
            "device": torch.device(clip.device).type,
            "clip": clip.digest,
            "phrases": list(phrases),
        }
    )


def _read(entry: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """What was kept, or None where there is nothing, or not that."""
    try:
        vectors: NDArray[np.float32] = np.load(entry, allow_pickle=False)
    except BROKEN:
        return None
    whole = vectors.shape == shape and vectors.dtype == np.float32
    return vectors if whole else None
