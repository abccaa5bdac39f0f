"""The passes over the images that are still to come, and the resized images that they share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ensembler.images.preprocess import Preprocess
from ensembler.images.sharing import SharedImages
from ensembler.inference.jobs import Job
from ensembler.work.entry import Entry


class Passes:
    """Each checkpoint that is not whole passes over the images; those of one geometry share them.

    Args:
        jobs: the members.
        images: where resized images are kept.
    """

    def __init__(self, jobs: Iterable[Job], images: SharedImages) -> None:
        self._waiting = {job.name: job for job in jobs}
        self._images = images

    def place(self, job: Job, entry: Entry) -> Path | None:
        """The folder for a checkpoint's pass to cache images in; None where it shares none."""
        return self._images.place(
            job.preprocess, images=entry.images, passes=self._left(job.preprocess)
        )

    def note(self, fault: str | None) -> None:
        """Record why images could not be kept; the first reason is the one that is told."""
        self._images.note(fault)

    def end(self, job: Job) -> None:
        """Count a member's passes no longer; images that no other wants are removed."""
        del self._waiting[job.name]
        if not self._left(job.preprocess):
            self._images.release(job.preprocess)

    def _left(self, preprocess: Preprocess) -> int:
        return sum(
            len(job.parts())
            for job in self._waiting.values()
            if job.preprocess.geometry == preprocess.geometry
        )
