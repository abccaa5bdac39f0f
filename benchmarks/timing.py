"""Timing work that was warmed up: the fastest or the median of runs taken in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

Answer = TypeVar("Answer")


def timed(work: Callable[[], Answer]) -> tuple[float, Answer]:
    """Seconds of one run, and its answer."""
    begun = time.perf_counter()
    answer = work()
    return time.perf_counter() - begun, answer


def fastest(runs: int, works: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Seconds of each work's fastest run, taken in turns, so that a busy moment hits them alike.

    What else the machine does can only add to a run, so the fastest is the nearest to the work.

    Args:
        runs: how many turns; at least one.
        works: by name; each returns the seconds of what it does that counts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            seconds[name].append(work())
    return {name: min(values) for name, values in seconds.items()}


class Raced(NamedTuple, Generic[Answer]):
    """How long a work took, by its runs' medians, and what its last run gave."""

    seconds: float
    cpu: float  # seconds of this process's threads, which a busy machine does not stretch
    answer: Answer


def raced(runs: int, works: Mapping[str, Callable[[], Answer]]) -> dict[str, Raced[Answer]]:
    """Time works in turns, so that a busy moment hits them alike.

    Args:
        runs: how many turns; at least one.
        works: what is timed, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    cpu: dict[str, list[float]] = {name: [] for name in works}
    answers: dict[str, Answer] = {}
    for _ in range(runs):
        for name, work in works.items():
            begun = time.process_time()
            wall, answers[name] = timed(work)
            seconds[name].append(wall)
            cpu[name].append(time.process_time() - begun)
    median = statistics.median
    return {n: Raced(median(seconds[n]), median(cpu[n]), answers[n]) for n in works}


def medians(runs: int, works: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each work; see `raced`."""
    return {name: one.seconds for name, one in raced(runs, works).items()}
