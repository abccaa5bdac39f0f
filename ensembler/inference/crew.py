"""The worker processes of a run, one for each device."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from ensembler.inference.messages import MESSAGES, Message, Setup, Task

_LONGEST_WAIT = 3600.0 * 24 * 365  # what a queue can wait for; infinity it cannot


class WorkerDied(Exception):  # noqa: N818 - an event of the run; no user ever sees it raised
    """A worker's process ended before its work did."""


class _Worker(NamedTuple):
    process: subprocess.Popen[bytes]
    tasks: IO[bytes]
    log: Path


class Crew:
    """Workers that start when there is something to do and can be stopped at any time.

    Args:
        setups: one for each device.
        logs: the folder that each worker's stderr goes to.
    """

    def __init__(self, setups: Sequence[Setup], logs: Path) -> None:
        self._setups, self._logs = setups, logs
        self._workers: list[_Worker] = []
        self._inbox: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __len__(self) -> int:
        return len(self._setups)

    def send(self, worker: int, task: Task) -> None:
        """Hand a task to a worker; all workers are started if none is there.

        Args:
            worker: its number.
            task: what to do.
        """
        if not self._workers:
            inbox: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
            self._inbox = inbox
            self._workers = [self._start(number, inbox) for number in range(len(self))]
            for started, setup in zip(self._workers, self._setups, strict=True):
                _send(started.tasks, setup)
        _send(self._workers[worker].tasks, task)

    def receive(self, timeout: float) -> tuple[int, Message]:
        """The next message and who sent it.

        Args:
            timeout: seconds to wait for it.

        Raises:
            TimeoutError: there was none.
            WorkerDied: a worker ended; the message says how.
        """
        try:
            worker, line = self._inbox.get(timeout=min(max(timeout, 0.0), _LONGEST_WAIT))
        except queue.Empty as error:
            raise TimeoutError from error
        if not line:
            raise WorkerDied(_how_it_ended(self._workers[worker]))
        return worker, MESSAGES.validate_json(line)

    def stop(self) -> None:
        """End all workers, whatever they are at."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
            with suppress(BrokenPipeError):  # of a task that it did not live to take
                worker.tasks.close()
        self._workers = []

    def _start(self, number: int, inbox: queue.SimpleQueue[tuple[int, bytes]]) -> _Worker:
        log = self._logs / f"worker-{number}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ensembler.inference.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C is for the run, which then ends its workers
            )
        assert process.stdin is not None  # noqa: S101 - pipes were asked for
        assert process.stdout is not None  # noqa: S101 - the same
        threading.Thread(target=_forward, args=(number, process.stdout, inbox), daemon=True).start()
        return _Worker(process, process.stdin, log)

    def _environment(self) -> dict[str, str]:
        """This process's, with its import path, no network, and the cores shared out."""
        on_cpu = sum(setup.device.startswith("cpu") for setup in self._setups)
        own = {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "HF_HUB_OFFLINE": "1",
        }
        if on_cpu > 1:
            own["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // on_cpu))
        return {**os.environ, **own}


def _send(tasks: IO[bytes], task: Task) -> None:
    with suppress(BrokenPipeError):  # it has died, and its end is on the way to the inbox
        tasks.write(task.model_dump_json().encode() + b"\n")
        tasks.flush()


def _forward(number: int, messages: IO[bytes], inbox: queue.SimpleQueue[tuple[int, bytes]]) -> None:
    """Bring a worker's messages in, and at their end an empty one."""
    with messages:
        for line in messages:
            inbox.put((number, line))
    inbox.put((number, b""))


def _how_it_ended(worker: _Worker) -> str:
    """The end of a process in words: a signal, or the last line of its traceback."""
    code = worker.process.wait()
    if code < 0:
        what = f"its process was killed by signal {-code}"
        return f"{what} (9 is what a system short of memory sends)" if code == -9 else what
    lines = worker.log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "without a word")
    return f"its process ended with code {code}: {last}"
