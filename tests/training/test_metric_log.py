"""TensorBoard shows what the JSON lines say, whatever happened in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from predictors.shared.training.metric_log import MetricLog


class Died(BaseException):
    """Stands for a death at a moment that the test chooses."""


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a fold."""
    events = EventAccumulator(str(folder)).Reload()
    return {
        name: [(point.step, point.value) for point in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def lines(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The same from the JSON lines."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        for name in line.keys() - {"step", "epoch"}:
            point = (line["step"], float(np.float32(line[name])))  # as events hold it
            found.setdefault(name, []).append(point)
    return found


def test_a_training_that_died_twice_shows_every_step_once(
    train_here: Callable[..., Any], tmp_path: Path
) -> None:
    for step in (2, 5):

        def dies(stage: str, done: int, total: int, step: int = step) -> None:
            if stage.endswith("training") and done * 8 == step * total:
                raise Died

        with pytest.raises(Died):
            train_here(epochs=4, options={"progress": dies})
    train_here(epochs=4)
    folder = tmp_path / "out/fold0"
    assert len(list(folder.glob("events.out.tfevents.*"))) == 3
    shown = curves(folder)
    assert shown == lines(folder)
    assert [step for step, _ in shown["loss"]] == list(range(1, 9))
    assert {"loss", "lr", "mean_cosine"} <= shown.keys()


def test_points_are_on_the_disk_once_they_are_flushed(tmp_path: Path) -> None:
    with MetricLog(tmp_path / "metrics.jsonl", steps=0) as log:
        log.write(step=1, epoch=0, loss=0.5)
        log.flush()
        assert curves(tmp_path)["loss"] == [(1, 0.5)]


def test_a_process_that_does_not_write_leaves_nothing(tmp_path: Path) -> None:
    with MetricLog(None, steps=0) as log:
        log.write(step=1, epoch=0, loss=0.5)
        log.flush()
    assert not list(tmp_path.iterdir())
