"""What a spec says about samples, and how it becomes a submission."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.inference.submission import write_submission


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Blended embeddings of samples.

    Attributes:
        ids: (n,) text, the samples in the store's order.
        embeddings: (n, d) float32, rows of unit length.
        members: the members that were blended.
        missing_members: the spec's members that the store lacks; the others were weighted anew.
        prior_rows: rows that no member covers; they got the prior.
        cancelled_rows: rows whose members cancelled; they got the prior too.
    """

    ids: NDArray[np.str_]
    embeddings: NDArray[np.float32]
    members: tuple[str, ...]
    missing_members: tuple[str, ...]
    prior_rows: int
    cancelled_rows: int

    def __len__(self) -> int:
        return len(self.ids)

    def to_submission(self, path: str | Path, sample: str | Path | None = None) -> None:
        """Write submission.csv; the file appears whole or not at all.

        Args:
            path: the file to create or replace; its folder must exist.
            sample: a sample submission whose order to keep; None sorts the ids.

        Raises:
            InputError: ids differ from the sample's, or a file cannot be read or written.
        """
        write_submission(path, self.ids, self.embeddings, sample)
