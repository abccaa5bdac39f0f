"""The members of a spec embedding images, one after another, inside a deadline.

What is blended are whole checkpoints. A member cut short after some of them is blended from these:
out of fold, too, each of its rows came from a single one, so the spec's weights hold as they are. A
checkpoint cut short is not blended: some rows would have the member and some not, two blends with
weights of their own in one submission. Its vectors stay in the work folder for a later run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ensembler.errors import PredictorError
from ensembler.inference.embedding import MemberEmbedder
from ensembler.inference.jobs import Job
from ensembler.inference.order import Expectation, next_member
from ensembler.inference.pace import Pace, Speed
from ensembler.inference.prediction import MemberRun
from ensembler.inference.workers import MemberDroppedError


@dataclass(kw_only=True)
class MemberSchedule:
    """One run of the members; what finishes is in the work store and in `finished`.

    Attributes:
        jobs: by member.
        embedder: what runs one, and has the deadline.
        expectation: what blends are worth.
        strict: a member that cannot be had ends the run.
        on_finished: called when a member has finished and another is to come.
        finished: members that can be blended, in the order they came.
        runs: how each member fared, in the order they ran.
    """

    jobs: Mapping[str, Job]
    embedder: MemberEmbedder
    expectation: Expectation
    strict: bool
    on_finished: Callable[[], object]
    finished: list[str] = field(default_factory=list)
    runs: list[MemberRun] = field(default_factory=list)

    def run(self) -> None:
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
            self.on_finished()
        deadline = self.embedder.deadline
        speed, measured = Speed(devices=len(self.embedder.workers)), False
        while waiting:
            # Until one has run here, the spec's seconds are another machine's: they order the
            # members, and exclude none.
            left = deadline.left if measured else math.inf
            seconds = {name: self._expect(speed, name) for name in waiting}
            fitting = {n: s for n, s in seconds.items() if s <= left}
            partly = {n: s for n, s in seconds.items() if self._expect(speed, n, 1) <= left}
            if not partly or deadline.left <= 0.0:
                break
            name = next_member(self.expectation, self.finished, fitting or partly)
            waiting.remove(name)
            others = [other for other in fitting if other != name]
            pace = self._run_member(name, others, partly=not (measured and others))
            speed.learn(self._recorded_seconds(name), pace)
            measured = measured or pace.done > 0
            if name in self.finished and waiting:
                self.on_finished()
        for name in waiting:
            self._end(name, Pace(), deadline.too_short_for(self._expect(speed, name)))

    def _run_member(self, name: str, others: list[str], *, partly: bool) -> Pace:
        """Run a member until it has finished or is dropped.

        Args:
            name: the member's.
            others: that fit too, one of which is next.
            partly: whether it goes on while the checkpoint at work fits; else all must.
        """
        job = self.jobs[name]
        pace = Pace(parts=job.parts())
        self.embedder.verify(job)
        if others:  # hashed while this one runs
            after = {other: self._recorded_seconds(other) or 0.0 for other in others}
            follower = next_member(self.expectation, [*self.finished, name], after)
            self.embedder.verify(self.jobs[follower])
        try:
            self.embedder.embed(job, pace, partly=partly)
            reason = None
        except MemberDroppedError as error:
            reason = str(error)
        self._end(name, pace, reason)
        return pace

    def _end(self, name: str, pace: Pace, reason: str | None) -> None:
        """Record how a member fared; in a strict run one that cannot be had ends it."""
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
        self.embedder.passes.end(job)

    def _recorded_seconds(self, name: str) -> float | None:
        return self.jobs[name].member.origin.seconds_per_image

    def _expect(self, speed: Speed, name: str, checkpoints: int | None = None) -> float:
        return speed.expect(self._recorded_seconds(name), self.jobs[name].parts()[:checkpoints])
