"""Durations as people write them, and the deadline of a run."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ensembler.errors import InputError

Clock = Callable[[], float]  # seconds that only grow

_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


def seconds_of(duration: str | float) -> float:
    """Seconds of a duration: a number of them, or a text such as 8h30m, 45m or 90s.

    Raises:
        InputError: it is not spelt so, or is no time at all.
    """
    text = duration if isinstance(duration, str) else f"{duration}s"
    found = _DURATION.fullmatch(text)
    hours, minutes, seconds = (float(part or 0.0) for part in found.groups()) if found else (0,) * 3
    total = 3600.0 * hours + 60.0 * minutes + seconds
    if not total:
        raise InputError(f"{text!r} is not a duration; give one like 8h30m, 45m or 90s")
    return total


def spell_duration(seconds: float) -> str:
    """Seconds as a person says them: 8h30m, 45m, 90s."""
    if seconds < 120.0:
        return f"{max(seconds, 0.0):.0f}s"
    minutes = round(seconds / 60.0)
    return f"{minutes // 60}h{minutes % 60:02}m" if minutes >= 60 else f"{minutes}m"


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """The moment by which all must be written.

    Attributes:
        at: by the clock; infinity for no deadline.
        clock: what time it is.
    """

    at: float = math.inf
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float | None, clock: Clock = time.monotonic) -> Deadline:
        """The deadline so many seconds from now; None for no deadline."""
        return cls(at=math.inf if seconds is None else clock() + seconds, clock=clock)

    @property
    def left(self) -> float:
        """Seconds that are left; negative once it has passed."""
        return self.at - self.clock() if self.at < math.inf else math.inf

    def earlier_by(self, seconds: float) -> Deadline:
        """The deadline of what must be done so many seconds before."""
        return replace(self, at=self.at - seconds)

    def too_short_for(self, seconds: float) -> str:
        """The words for work that would still take so many seconds, and has fewer."""
        return (
            f"it would take another {spell_duration(seconds)}, and {spell_duration(self.left)} are"
            " left"
        )
