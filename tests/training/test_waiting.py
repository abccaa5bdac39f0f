"""Processes wait half an hour for each other, half a day for what the first does alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import torch.distributed as dist
from accelerate import Accelerator

from predictors.shared.training import processes
from predictors.shared.training.processes import awaiting_first


@pytest.fixture
def world() -> Iterator[None]:
    """Processes that train together: one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_process_that_hangs_is_told_within_the_hour(
    train_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def watched(**options: Any) -> Any:  # noqa: ANN401 - accelerate is untyped here
        given.extend(options["kwargs_handlers"])
        return Accelerator(**options)

    monkeypatch.setattr(processes, "Accelerator", watched)
    train_here(epochs=1)
    assert [one.timeout for one in given] == [timedelta(minutes=30)]


@pytest.mark.usefixtures("world")
def test_what_the_first_does_alone_may_take_half_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[tuple[Any, timedelta]] = []
    new_group = dist.new_group

    def watched(**options: Any) -> Any:  # noqa: ANN401 - torch is untyped here
        waited.append((new_group(**options), options["timeout"]))
        return waited[-1][0]

    monkeypatch.setattr(dist, "new_group", watched)
    with awaiting_first():
        ((group, timeout),) = waited  # all are here when it is made
        assert group.size() == 1
    assert timeout == timedelta(hours=12)
    with pytest.raises(ValueError, match="group"):
        dist.get_backend(group)  # it went with the block


def test_alone_there_is_nobody_to_wait_for() -> None:
    with awaiting_first():
        assert not dist.is_initialized()
