"""All workers of a run addressed as one, inside its deadline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ensembler.inference.crew import Crew, WorkerDied
from ensembler.inference.deadline import Deadline
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
    Task,
)
from ensembler.work.disk import WorkError

_M = TypeVar("_M", Loaded, Probed)


class MemberDroppedError(Exception):
    """A member cannot be had; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The workers of a crew, all asked the same and each answering.

    Every request raises MemberDroppedError where a worker refuses it or dies, or the deadline
    comes first, and WorkError where the work folder cannot be written.

    Attributes:
        crew: the processes, one for each device.
        deadline: by which the answers must be there.
    """

    crew: Crew
    deadline: Deadline

    def __len__(self) -> int:
        return len(self.crew)

    def load(self, task: Load) -> None:
        """Have a checkpoint loaded on every device."""
        self._ask_all(task, Loaded)

    def probe(self) -> int:
        """The largest batch that suits all devices."""
        return min(answer.batch for answer in self._ask_all(Probe(), Probed))

    def embed(self, tasks: Sequence[Embed]) -> Iterator[Done]:
        """Have a task done by each worker, by the first workers where there are fewer.

        Yields:
            Of every batch, that it is done.
        """
        for worker, task in enumerate(tasks):
            self.crew.send(worker, task)
        busy = len(tasks)
        while busy:
            message = self._receive()
            if isinstance(message, Finished):
                busy -= 1
            elif isinstance(message, Done):
                yield message

    def stop(self) -> None:
        """End the workers, whatever they are at; the next task starts others."""
        self.crew.stop()

    def _ask_all(self, task: Task, kind: type[_M]) -> list[_M]:
        for worker in range(len(self)):
            self.crew.send(worker, task)
        answers = []
        for _ in range(len(self)):
            message = self._receive()
            assert isinstance(message, kind)  # noqa: S101 - our own protocol
            answers.append(message)
        return answers

    def _receive(self) -> Message:
        try:
            _, message = self.crew.receive(self.deadline.left)
        except TimeoutError as error:
            raise MemberDroppedError("the deadline came before it was done") from error
        except WorkerDied as error:
            raise MemberDroppedError(str(error)) from error
        if isinstance(message, Refused):
            raise MemberDroppedError(message.reason)
        if isinstance(message, Stopped):
            raise WorkError(message.reason)
        return message
