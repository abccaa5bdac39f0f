"""The images of a store's samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError
from ensembler.images.find import ImageFiles, find_images, match_images


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleImages:
    """The samples that have an image, and its file.

    Attributes:
        files: of the samples that have one, in the store's order.
        positions: (n,) int64, the samples they belong to, ascending.
    """

    files: ImageFiles
    positions: NDArray[np.int64]

    def by_id(self) -> dict[str, Path]:
        """Id → image."""
        return dict(zip(self.files.ids.tolist(), self.files.paths, strict=True))


def find_sample_images(ids: NDArray[np.str_], folder: str | Path, *, partial: bool) -> SampleImages:
    """Find the images of samples by id; those of no sample are passed over.

    Args:
        ids: (samples,) text.
        folder: of images.
        partial: samples may lack an image, as long as one has it.

    Raises:
        InputError: there is no such folder, or samples have no image in it.
    """
    files = find_images(folder)
    present = np.isin(ids, files.ids) if partial else np.ones(len(ids), dtype=np.bool_)
    if not present.any():
        present[:] = True  # none belongs to a sample: refused as if all were wanted
    try:
        paths = match_images(ids[present], files)
    except InputError as error:
        raise InputError(f"{error}; with --partial such samples stay without a row") from error
    return SampleImages(
        files=ImageFiles(ids=ids[present], paths=paths),
        positions=np.flatnonzero(present),
    )
