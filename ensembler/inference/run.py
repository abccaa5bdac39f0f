"""The members of a spec embedding images, one after another, inside a deadline."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as VerifyingTooLong
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np

from ensembler.errors import PredictorError
from ensembler.inference.crew import Crew, WorkerDied
from ensembler.inference.deadline import Deadline, Speed, spell_duration
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
from ensembler.inference.prediction import MemberRun
from ensembler.inference.work import Entry, WorkError
from ensembler.predicting.checkpoints import Located, verifying

TRUSTED: Final = 0.05  # share of a member's images after which its own pace decides if it fits

Progress = Callable[[str, int, int], None]  # (member, images done, images in all)
_M = TypeVar("_M", Loaded, Probed)


class _DroppedError(Exception):
    """A member cannot be had; the message says why."""


@dataclass(kw_only=True)
class _Pace:
    """How a member advances.

    Attributes:
        total: images to embed, counted once for each checkpoint.
        done: of these.
        seconds: spent embedding.
    """

    total: int
    done: int = 0
    seconds: float = 0.0

    @property
    def seconds_left(self) -> float:
        """Seconds that the rest will take; 0 until enough is done to tell."""
        if self.done < TRUSTED * self.total:
            return 0.0
        return self.seconds / self.done * (self.total - self.done)


@dataclass(kw_only=True)
class Run:
    """One pass over the members; what finishes is in the work store and in `finished`.

    Attributes:
        jobs: by member.
        crew: the workers.
        deadline: by which all must be written.
        expectation: what blends are worth.
        batch: the size given, or None to take the recorded or probed one.
        strict: a member that cannot be had ends the run.
        progress: told of every batch.
        better: called when another member has finished.
        reserve_s: seconds to keep for writing.
        finished: members whose vectors are there, in the order they came.
        runs: how each member fared, in the order they ran.
    """

    jobs: Mapping[str, Job]
    crew: Crew
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
            if job.is_whole:
                self._end(name, _Pace(total=0), None)
        waiting = [name for name in self.jobs if name not in self.finished]
        if self.finished and waiting:
            self.better()
        speed, measured = Speed(devices=len(self.crew)), False
        while waiting:
            seconds = {name: self._expect(speed, name) for name in waiting}
            # Until one has run here, the spec's seconds are another machine's: they order the
            # members, and exclude none.
            fitting = {n: s for n, s in seconds.items() if s <= self._seconds_left or not measured}
            if not fitting or self._seconds_left <= 0.0:
                break
            name = next_member(self.expectation, self.finished, fitting)
            waiting.remove(name)
            pace = self._attempt(name, [other for other in fitting if other != name])
            speed.learn(self._said(name), pace.done, pace.seconds)
            measured = measured or pace.done > 0
            if name in self.finished and waiting:
                self.better()
        for name in waiting:
            self._end(name, _Pace(total=0), self._too_long(self._expect(speed, name)))

    def _attempt(self, name: str, others: list[str]) -> _Pace:
        """Run a member to its end, whatever end."""
        job = self.jobs[name]
        pace = _Pace(total=job.images_left())
        self._verify(name)
        if others:  # hashed while this one runs
            after = {other: self._said(other) or 0.0 for other in others}
            self._verify(next_member(self.expectation, [*self.finished, name], after))
        try:
            self._embed(job, pace)
            reason = None
        except _DroppedError as error:
            self.crew.dismiss()  # some may still be at it
            reason = str(error)
        self._end(name, pace, reason)
        return pace

    def _end(self, name: str, pace: _Pace, reason: str | None) -> None:
        run = MemberRun(name, len(self.jobs[name].entries), pace.done, pace.seconds, reason)
        self.runs.append(run)
        if reason is None:
            self.finished.append(name)
        elif self.strict:
            raise PredictorError(
                f"member {name!r}: {reason}; without --strict it would be dropped and the others"
                " weighted anew"
            )

    def _embed(self, job: Job, pace: _Pace) -> None:
        batch = self.batch
        for located, entry in zip(job.located, job.entries, strict=True):
            if entry.is_whole():
                batch = batch or entry.batch()
                continue
            try:
                self._load(job, located)
            except _DroppedError:
                with suppress(VerifyingTooLong):  # another file than the spec's tells why
                    self._check_digests(job.name)
                raise
            self._wait_for_digests(job.name)
            batch = batch or entry.batch() or self._probe()
            entry.record(batch=batch)
            self._share(job.name, entry, batch, pace)

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

    def _share(self, name: str, entry: Entry, batch: int, pace: _Pace) -> None:
        """Embed what is left, whole batches next to each other on each device."""
        pending = entry.pending(batch)
        numbers = np.arange(-(-len(pending) // batch))
        busy, limit = 0, entry.limit()
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
                pace.done += message.images
                self.progress(name, min(pace.done, pace.total), pace.total)
                now = self.deadline.clock()
                pace.seconds, since = pace.seconds + now - since, now
                if pace.seconds_left > self._seconds_left:
                    raise _DroppedError(self._too_long(pace.seconds_left))

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
            raise _DroppedError(str(error)) from error

    @property
    def _seconds_left(self) -> float:
        return self.deadline.left - self.reserve_s

    def _said(self, name: str) -> float | None:
        return self.jobs[name].member.origin.seconds_per_image

    def _expect(self, speed: Speed, name: str) -> float:
        return speed.expect(self._said(name), self.jobs[name].images_left())

    def _too_long(self, seconds: float) -> str:
        return (
            f"it would take another {spell_duration(seconds)}, and"
            f" {spell_duration(self._seconds_left)} are left"
        )
