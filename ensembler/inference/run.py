"""The members of a spec embedding images, one after another, inside a deadline.

What is blended are whole checkpoints. A member cut short after some of them is blended from these:
out of fold, too, each of its rows came from a single one, so the spec's weights hold as they are. A
checkpoint cut short is not blended: some rows would have the member and some not, two blends with
weights of their own in one submission. Its vectors stay in the work folder for a later run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as VerifyingTooLong
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ensembler.errors import PredictorError
from ensembler.images.preprocess import Preprocess
from ensembler.images.sharing import SharedImages
from ensembler.inference.crew import Crew, WorkerDied
from ensembler.inference.deadline import Deadline, spell_duration
from ensembler.inference.jobs import Job
from ensembler.inference.messages import (
    Done,
    Embed,
    Finished,
    Load,
    Loaded,
    Message,
    Probe,
    Probed,
    Refused,
    Stopped,
)
from ensembler.inference.order import Expectation, next_member
from ensembler.inference.pace import Pace, Speed
from ensembler.inference.prediction import MemberRun
from ensembler.predicting.checkpoints import Located, verifying
from ensembler.work.disk import WorkError
from ensembler.work.entry import Entry

Progress = Callable[[str, int, int], None]  # (member, images done, images in all)
_M = TypeVar("_M", Loaded, Probed)


class _DroppedError(Exception):
    """A member cannot be had; the message says why."""


@dataclass(kw_only=True)
class Run:
    """One pass over the members; what finishes is in the work store and in `finished`.

    Attributes:
        jobs: by member.
        crew: the workers.
        images: where they share resized images.
        deadline: by which all must be written.
        expectation: what blends are worth.
        batch: the size given, or None to take the recorded or probed one.
        strict: a member that cannot be had ends the run.
        progress: told of every batch.
        better: called when another member has finished.
        reserve_s: seconds to keep for writing.
        finished: members that can be blended, in the order they came.
        runs: how each member fared, in the order they ran.
    """

    jobs: Mapping[str, Job]
    crew: Crew
    images: SharedImages
    deadline: Deadline
    expectation: Expectation
    batch: int | None
    strict: bool
    progress: Progress
    better: Callable[[], object]
    reserve_s: float
    finished: list[str] = field(default_factory=list)
    runs: list[MemberRun] = field(default_factory=list)
    _verified: dict[str, Future[None]] = field(default_factory=dict)

    def go(self) -> None:
        """Run every member that there is time for.

        Raises:
            PredictorError: a member cannot be had, and the run is strict.
            WorkError: the work folder cannot be written.
        """
        for name, job in self.jobs.items():
            if not job.parts():
                self._end(name, Pace(), None)
        waiting = [name for name in self.jobs if name not in self.finished]
        if self.finished and waiting:
            self.better()
        speed, measured = Speed(devices=len(self.crew)), False
        while waiting:
            # Until one has run here, the spec's seconds are another machine's: they order the
            # members, and exclude none.
            left = self._seconds_left if measured else math.inf
            seconds = {name: self._expect(speed, name) for name in waiting}
            fitting = {n: s for n, s in seconds.items() if s <= left}
            partly = {n: s for n, s in seconds.items() if self._expect(speed, n, 1) <= left}
            if not partly or self._seconds_left <= 0.0:
                break
            name = next_member(self.expectation, self.finished, fitting or partly)
            waiting.remove(name)
            others = [other for other in fitting if other != name]
            pace = self._attempt(name, others, partly=not (measured and others))
            speed.learn(self._said(name), pace)
            measured = measured or pace.done > 0
            if name in self.finished and waiting:
                self.better()
        for name in waiting:
            self._end(name, Pace(), self._too_long(self._expect(speed, name)))

    def _attempt(self, name: str, others: list[str], *, partly: bool) -> Pace:
        """Run a member to its end, whatever end.

        Args:
            name: the member's.
            others: that fit too, one of which is next.
            partly: whether it goes on while the checkpoint at work fits; else all must.
        """
        job = self.jobs[name]
        pace = Pace(parts=job.parts())
        self._verify(name)
        if others:  # hashed while this one runs
            after = {other: self._said(other) or 0.0 for other in others}
            self._verify(next_member(self.expectation, [*self.finished, name], after))
        try:
            self._embed(job, pace, partly=partly)
            reason = None
        except _DroppedError as error:
            self.crew.dismiss()  # some may still be at it
            reason = str(error)
        self._end(name, pace, reason)
        if not self._passes(job.preprocess):
            self.images.release(job.preprocess)
        return pace

    def _end(self, name: str, pace: Pace, reason: str | None) -> None:
        job = self.jobs[name]
        whole = len(job.whole())
        self.runs.append(MemberRun(name, len(job.entries), whole, pace.done, pace.seconds, reason))
        if whole:
            self.finished.append(name)
        if reason is not None and self.strict:
            raise PredictorError(
                f"member {name!r}: {reason}; without --strict it would be dropped and the others"
                " weighted anew"
            )

    def _passes(self, preprocess: Preprocess) -> int:
        """Passes over the images that may still come and want them resized so."""
        ended = {run.name for run in self.runs}
        return sum(
            len(job.parts())
            for name, job in self.jobs.items()
            if name not in ended and job.preprocess.geometry == preprocess.geometry
        )

    def _embed(self, job: Job, pace: Pace, *, partly: bool) -> None:
        batch, clock = self.batch, self.deadline.clock
        for located, entry in zip(job.located, job.entries, strict=True):
            if entry.is_whole():
                batch = batch or entry.known("batch")
                continue
            begun = clock()
            try:
                self._load(job, located)
            except _DroppedError:
                with suppress(VerifyingTooLong):  # another file than the spec's tells why
                    self._check_digests(job.name)
                raise
            self._wait_for_digests(job.name)
            batch = batch or entry.known("batch") or self._probe()
            entry.record(batch=batch)
            pace.loaded, pace.loading = pace.loaded + 1, pace.loading + clock() - begun
            self._share(job, entry, batch, pace, pace.loaded if partly else len(pace.parts))

    def _load(self, job: Job, located: Located) -> None:
        origin = job.member.origin
        task = Load(
            predictor=origin.predictor or "",
            config=origin.config,
            files={role: str(path.absolute()) for role, path in located.files.items()},
            preprocessing=origin.preprocessing,
            encoder=origin.encoder,
            dim=job.entries[0].dim,
        )
        for worker in range(len(self.crew)):
            self.crew.give(worker, task)
        for _ in range(len(self.crew)):
            self._answer(Loaded)

    def _probe(self) -> int:
        """The largest batch that suits all devices."""
        for worker in range(len(self.crew)):
            self.crew.give(worker, Probe())
        return min(self._answer(Probed).batch for _ in range(len(self.crew)))

    def _share(self, job: Job, entry: Entry, batch: int, pace: Pace, checkpoints: int) -> None:
        """Embed what is left, whole batches next to each other on each device.

        So many `checkpoints` of those that the member lacked must fit, or none goes on.
        """
        cache = self.images.place(
            job.preprocess, images=entry.images, passes=self._passes(job.preprocess)
        )
        pending = entry.pending(batch)
        numbers = np.arange(-(-len(pending) // batch))
        busy, limit = 0, entry.known("limit")
        for worker, share in enumerate(np.array_split(numbers, len(self.crew))):
            if len(share):
                positions = pending[share[0] * batch : (share[-1] + 1) * batch].tolist()
                self.crew.give(
                    worker,
                    Embed(
                        folder=str(entry.folder),
                        positions=tuple(positions),
                        batch=batch,
                        limit=limit,
                        cache=None if cache is None else str(cache.absolute()),
                    ),
                )
                busy += 1
        since = self.deadline.clock()
        while busy:
            message = self._receive()
            if isinstance(message, Finished):
                busy -= 1
            elif isinstance(message, Done):
                if message.limit is not None and message.limit < (limit or math.inf):
                    limit = message.limit
                    entry.record(limit=limit)
                self.images.note(message.cache_fault)
                pace.done += message.images
                self.progress(job.name, min(pace.done, pace.total), pace.total)
                now = self.deadline.clock()
                pace.seconds, since = pace.seconds + now - since, now
                if pace.seconds_left(checkpoints) > self._seconds_left:
                    raise _DroppedError(self._too_long(pace.seconds_left(len(pace.parts))))

    def _receive(self) -> Message:
        try:
            _, message = self.crew.receive(self._seconds_left)
        except TimeoutError as error:
            raise _DroppedError("the deadline came before it was done") from error
        except WorkerDied as error:
            raise _DroppedError(str(error)) from error
        if isinstance(message, Refused):
            raise _DroppedError(message.reason)
        if isinstance(message, Stopped):
            raise WorkError(message.reason)
        return message

    def _answer(self, kind: type[_M]) -> _M:
        message = self._receive()
        assert isinstance(message, kind)  # noqa: S101 - our own protocol
        return message

    def _verify(self, name: str) -> None:
        if name not in self._verified:
            self._verified[name] = verifying(self.jobs[name].located, member=name)

    def _wait_for_digests(self, name: str) -> None:
        """Before a row is kept: what is kept is taken for the spec's."""
        try:
            self._check_digests(name)
        except VerifyingTooLong as error:
            raise _DroppedError("the deadline came before its files were verified") from error

    def _check_digests(self, name: str) -> None:
        left = self._seconds_left
        try:
            self._verified[name].result(None if math.isinf(left) else max(left, 0.0))
        except PredictorError as error:
            raise _DroppedError(str(error).removeprefix(f"member {name!r}: ")) from error

    @property
    def _seconds_left(self) -> float:
        return self.deadline.left - self.reserve_s

    def _said(self, name: str) -> float | None:
        return self.jobs[name].member.origin.seconds_per_image

    def _expect(self, speed: Speed, name: str, checkpoints: int | None = None) -> float:
        return speed.expect(self._said(name), self.jobs[name].parts()[:checkpoints])

    def _too_long(self, seconds: float) -> str:
        return (
            f"it would take another {spell_duration(seconds)}, and"
            f" {spell_duration(self._seconds_left)} are left"
        )
