"""Timing of warmed-up work: the fastest or the median of runs taken in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

Answer = TypeVar("Answer")


def timed(work: Callable[[], Answer]) -> tuple[float, Answer]:
    """Run a work once; return its seconds and its answer."""
    begun = time.perf_counter()
    answer = work()
    return time.perf_counter() - begun, answer


def fastest(runs: int, works: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The seconds of each work's fastest run, in turns, so that a busy moment hits them alike.

    Other load on the machine can only slow a run, so the fastest run is closest to the work itself.

    Args:
        runs: number of turns; at least one.
        works: name → work, which returns the seconds of its timed part.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            seconds[name].append(work())
    return {name: min(values) for name, values in seconds.items()}


class Raced(NamedTuple, Generic[Answer]):
    """The medians of a work's runs, and the answer of the last."""

    seconds: float
    cpu: float  # seconds of this process's threads, which other load does not change
    answer: Answer


def race(runs: int, works: Mapping[str, Callable[[], Answer]]) -> dict[str, Raced[Answer]]:
    """Time works in turns, so that a busy moment hits them alike.

    Args:
        runs: number of turns; at least one.
        works: name → work.
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
    """The median seconds of each work; see `race`."""
    return {name: raced.seconds for name, raced in race(runs, works).items()}
