"""A worker may die at any moment: the run hears of it, and starts another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ensembler.inference.crew import Crew, WorkerDied
from ensembler.inference.messages import Probe, Probed, Setup

LONG_S = 300.0  # for a machine at its limit; a worker takes well below a second


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    """One worker, which has no images."""
    setup = Setup(images=(), device="cpu", precision="float32", threads=1)
    with Crew([setup], tmp_path) as crew:
        yield crew


def test_a_worker_that_dies_before_it_takes_a_task_is_stopped_and_another_started(
    crew: Crew,
) -> None:
    crew.send(0, Probe())
    crew.receive(LONG_S)
    worker = crew._workers[0].process
    worker.kill()
    worker.wait()
    crew.send(0, Probe())
    with pytest.raises(WorkerDied, match="killed by signal 9"):
        crew.receive(LONG_S)
    crew.stop()
    crew.send(0, Probe())
    assert crew.receive(LONG_S) == (0, Probed(batch=32))
