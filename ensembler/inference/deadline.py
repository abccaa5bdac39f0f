"""How much time there is, and how fast the members run here."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
        raise InputError(f"{text!r} is no duration; give one like 8h30m, 45m or 90s")
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


@dataclass(kw_only=True)
class Speed:
    """What an image costs here, learned from the members that have run.

    A spec says what each member took where it was dumped; this machine is faster or slower by one
    factor for all, which every member that runs measures again.

    Attributes:
        devices: how many share the images.
    """

    devices: int
    _said: float = field(default=0.0, init=False)  # of what ran: seconds by the spec, and here
    _took: float = field(default=0.0, init=False)
    _unsaid: list[float] = field(default_factory=list, init=False)  # of what the spec is silent on

    def expect(self, said: float | None, images: int) -> float:
        """Seconds that images will take.

        Args:
            said: seconds per image by the spec, or None where it is silent: then as long as the
                others that it is silent on took, at first nothing, so that one is tried.
            images: how many, counted once for each checkpoint.
        """
        if said is None:
            return images * (sum(self._unsaid) / len(self._unsaid) if self._unsaid else 0.0)
        return images * said * (self._took / self._said if self._said else 1.0 / self.devices)

    def learn(self, said: float | None, images: int, seconds: float) -> None:
        """Take in what images took.

        Args:
            said: as for `expect`.
            images: how many.
            seconds: by the clock, with all devices at work.
        """
        if not images:
            return
        if said:
            self._said += said * images
            self._took += seconds
        else:
            self._unsaid.append(seconds / images)
