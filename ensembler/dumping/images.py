"""The images of a store's samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError
from ensembler.files import sha256_json
from ensembler.images.failures import Failure
from ensembler.images.find import ImageFiles, find_images, match_images
from ensembler.images.identity import file_identities


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleImages:
    """Which samples have an image, and where it is.

    Attributes:
        files: of the samples that have one, in the store's order.
        positions: (n,) int64, the samples they belong to, ascending.
        samples: rows of the store.
    """

    files: ImageFiles
    positions: NDArray[np.int64]
    samples: int

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether a sample has an image, (samples,) bool."""
        present = np.zeros(self.samples, dtype=np.bool_)
        present[self.positions] = True
        return present

    def paths(self, positions: NDArray[np.int64]) -> list[Path]:
        """The images of samples that have one."""
        at = np.searchsorted(self.positions, positions)
        return [self.files.paths[number] for number in at.tolist()]

    def by_id(self) -> dict[str, Path]:
        """Id → image."""
        return dict(zip(self.files.ids.tolist(), self.files.paths, strict=True))

    def failures(self, reasons: Mapping[int, str]) -> list[Failure]:
        """What went wrong, by position among `files` instead of among the samples."""
        at = np.searchsorted(self.positions, list(reasons)).tolist()
        return [Failure(number, why) for number, why in zip(at, reasons.values(), strict=True)]

    def digest(self) -> str:
        """The sha256 of ids and of what the files are known by: tells when images are others."""
        return sha256_json([self.files.ids.tolist(), file_identities(self.files.paths)])


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
        present[:] = True  # none belongs to a sample: told as when all are wanted
    try:
        paths = match_images(ids[present], files)
    except InputError as error:
        raise InputError(f"{error}; with --partial such samples stay without a row") from error
    return SampleImages(
        files=ImageFiles(ids=ids[present], paths=paths),
        positions=np.flatnonzero(present),
        samples=len(ids),
    )
