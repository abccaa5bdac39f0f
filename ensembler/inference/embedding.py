"""One member's checkpoints embedding the images, on all devices at once, inside a deadline."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from ensembler.errors import PredictorError
from ensembler.inference.deadline import Deadline
from ensembler.inference.jobs import Job
from ensembler.inference.messages import Embed, Load
from ensembler.inference.pace import Pace
from ensembler.inference.passes import Passes
from ensembler.inference.verification import Verification
from ensembler.inference.workers import MemberDroppedError, Workers
from ensembler.predicting.checkpoints import Located
from ensembler.work.entry import Entry

Progress = Callable[[str, int, int], None]  # (member, images done, images in all)


@dataclass(frozen=True, kw_only=True)
class MemberEmbedder:
    """Brings the images through a member's checkpoints; the vectors go to the work store.

    Attributes:
        workers: on the devices; a member must be done by their deadline, or is dropped.
        passes: those over the images.
        batch: the size given, or None to take the recorded or probed one.
        progress: told of every batch.
    """

    workers: Workers
    passes: Passes
    batch: int | None
    progress: Progress
    _verification: Verification = field(default_factory=Verification, init=False)

    @property
    def deadline(self) -> Deadline:
        """The deadline by which a member must be done."""
        return self.workers.deadline

    def verify(self, job: Job) -> None:
        """Begin to hold a member's files to the spec's digests; `embed` needs the outcome."""
        self._verification.start(job)

    def embed(self, job: Job, pace: Pace, *, partly: bool) -> None:
        """Embed what a member's checkpoints lack, one checkpoint after another.

        Args:
            job: the member, its files being verified.
            pace: of its parts; filled while the work goes on.
            partly: go on while the checkpoint at work fits into the deadline; else all must.

        Raises:
            MemberDroppedError: the member cannot be loaded or verified, a worker died, or time is
                short; whatever the workers were at has ended.
            WorkError: the work folder cannot be written.
        """
        batch = self.batch
        try:
            for located, entry in zip(job.located, job.entries, strict=True):
                if entry.is_whole():
                    batch = batch or entry.recorded("batch")
                    continue
                batch = self._make_ready(job, located, entry, pace, batch)
                self._embed_checkpoint(job, entry, batch, pace, partly=partly)
        except MemberDroppedError:
            self.workers.stop()
            raise

    def _make_ready(
        self, job: Job, located: Located, entry: Entry, pace: Pace, batch: int | None
    ) -> int:
        """Have a checkpoint loaded and verified, and the batch size settled."""
        clock = self.deadline.clock
        begun = clock()
        try:
            self._load(job, located)
        except MemberDroppedError:
            with suppress(TimeoutError):  # another file than the spec's tells why
                self._check_digests(job)
            raise
        self._wait_for_digests(job)
        batch = batch or entry.recorded("batch") or self.workers.probe()
        entry.record(batch=batch)
        pace.loaded, pace.loading = pace.loaded + 1, pace.loading + clock() - begun
        return batch

    def _load(self, job: Job, located: Located) -> None:
        origin = job.member.origin
        self.workers.load(
            Load(
                predictor=origin.predictor or "",
                config=origin.config,
                files={role: str(path.absolute()) for role, path in located.files.items()},
                preprocessing=origin.preprocessing,
                encoder=origin.encoder,
                dim=job.entries[0].dim,
            )
        )

    def _wait_for_digests(self, job: Job) -> None:
        """Wait before the first row is kept: what is kept is taken for the spec's."""
        try:
            self._check_digests(job)
        except TimeoutError as error:
            raise MemberDroppedError("the deadline came before its files were verified") from error

    def _check_digests(self, job: Job) -> None:
        try:
            self._verification.wait(job, self.deadline.left)
        except PredictorError as error:
            raise MemberDroppedError(str(error).removeprefix(f"member {job.name!r}: ")) from error

    def _embed_checkpoint(
        self, job: Job, entry: Entry, batch: int, pace: Pace, *, partly: bool
    ) -> None:
        limit = entry.recorded("limit")
        clock = self.deadline.clock
        tasks = self._share_out(job, entry, batch, limit)
        must_fit = pace.loaded if partly else len(pace.parts)  # checkpoints, or none goes on
        since = clock()
        for done in self.workers.embed(tasks):
            if done.limit is not None and done.limit < (limit or math.inf):
                limit = done.limit
                entry.record(limit=limit)
            self.passes.note(done.cache_fault)
            pace.done += done.images
            self.progress(job.name, min(pace.done, pace.total), pace.total)
            now = clock()
            pace.seconds, since = pace.seconds + now - since, now
            if pace.seconds_left(must_fit) > self.deadline.left:
                seconds = pace.seconds_left(len(pace.parts))
                raise MemberDroppedError(self.deadline.too_short_for(seconds))

    def _share_out(self, job: Job, entry: Entry, batch: int, limit: int | None) -> list[Embed]:
        """Tasks, one per worker, for images that a checkpoint lacks; neighbours stay together."""
        cache = self.passes.place(job, entry)
        pending = entry.pending(batch)
        numbers = np.arange(-(-len(pending) // batch))
        return [
            Embed(
                folder=str(entry.folder),
                positions=tuple(pending[share[0] * batch : (share[-1] + 1) * batch].tolist()),
                batch=batch,
                limit=limit,
                cache=None if cache is None else str(cache.absolute()),
            )
            for share in np.array_split(numbers, len(self.workers))
            if len(share)
        ]
