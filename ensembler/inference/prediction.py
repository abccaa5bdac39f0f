"""Predictions: blended embeddings of samples, and how they become a submission."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.images.failures import Failure
from ensembler.inference.submission import write_submission


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Prediction:
    """Blended embeddings of samples.

    Attributes:
        ids: (n,) text, the samples in the store's order.
        embeddings: (n, d) float32, rows of unit length.
        members: the members that were blended.
        missing_members: the spec's members that the store lacks, or that were dropped; the others
            were weighted anew, also where the spec's blend is composed.
        prior_rows: rows that no member covers; they got the prior.
        cancelled_rows: rows whose members cancelled; they got the prior too.
        unused_members: the store's members that the spec does not name.
    """

    ids: NDArray[np.str_]
    embeddings: NDArray[np.float32]
    members: tuple[str, ...]
    missing_members: tuple[str, ...]
    prior_rows: int
    cancelled_rows: int
    unused_members: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        rows, dim = self.embeddings.shape
        return (
            f"{type(self).__name__}({rows} rows × {dim}, members={len(self.members)},"
            f" missing={len(self.missing_members)}, prior_rows={self.prior_rows})"
        )

    @property
    def is_degraded(self) -> bool:
        """Whether it is less than its spec promises: without some of its members."""
        return bool(self.missing_members)

    def to_submission(self, path: str | Path, sample: str | Path | None = None) -> None:
        """Write submission.csv; the file appears whole or not at all.

        Args:
            path: the file to create or replace; its folder must exist.
            sample: a sample submission whose order to keep; None sorts the ids.

        Raises:
            InputError: ids differ from the sample's, or a file cannot be read or written.
        """
        write_submission(path, self.ids, self.embeddings, sample)


class MemberRun(NamedTuple):
    """The outcome of a spec's member on a folder of images.

    Attributes:
        name: the member's.
        checkpoints: how many it has.
        blended: how many of them are in the blend; 0 where it was dropped.
        embedded: images embedded by this run, counted once for each checkpoint; the rest was there.
        seconds: that took.
        dropped: why it, or one of its checkpoints, is not in the blend; None where all are.
    """

    name: str
    checkpoints: int
    blended: int
    embedded: int
    seconds: float
    dropped: str | None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ImagePrediction(Prediction):
    """Blended embeddings of a folder of images.

    Attributes:
        runs: how each member of the spec fared, in the order they ran.
        failures: images that could not be read, or that a member gave no vector, by position among
            `ids`; they are blended from the members that have them, else they got the prior.
        expected_loss: what the blend is expected to score less than the whole spec's, on the
            spec's coreset; 0 where no member was dropped. Of a composed spec, what its plain
            weights lose, which stand in for it then.
        cache_fault: why images were decoded more often than need be, as a full disk; None without
            a reason. The vectors are the same.
    """

    runs: tuple[MemberRun, ...]
    failures: tuple[Failure, ...]
    expected_loss: float
    cache_fault: str | None

    @property
    def cut_short(self) -> tuple[MemberRun, ...]:
        """The members that were blended without some of their checkpoints."""
        return tuple(run for run in self.runs if 0 < run.blended < run.checkpoints)

    @property
    def is_degraded(self) -> bool:
        """Whether members were dropped or cut short, or images failed."""
        return super().is_degraded or bool(self.cut_short or self.failures)
