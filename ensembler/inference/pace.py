"""The speed of members here: that of the one at work, and from it that of those to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

TRUSTED: Final = 0.05  # share of a member's images after which its own pace decides if it fits


@dataclass(kw_only=True)
class Pace:
    """The progress of one member.

    Attributes:
        parts: images to embed, of each checkpoint that is not done.
        done: images embedded.
        seconds: that took.
        loaded: checkpoints made ready, the one at work included.
        loading: seconds that took: starting a process, loading, verifying, probing.
    """

    parts: Sequence[int] = ()
    done: int = 0
    seconds: float = 0.0
    loaded: int = 0
    loading: float = 0.0

    @property
    def total(self) -> int:
        """Images to embed, counted once for each checkpoint."""
        return sum(self.parts)

    def seconds_left(self, checkpoints: int) -> float:
        """Seconds until so many checkpoints are done; 0 until enough is done to tell.

        Args:
            checkpoints: of `parts`, no fewer than are loaded.
        """
        if self.done < TRUSTED * self.total:
            return 0.0
        images = max(0, sum(self.parts[:checkpoints]) - self.done)
        loading = self.loading / max(1, self.loaded) * (checkpoints - self.loaded)
        return self.seconds / max(1, self.done) * images + loading


@dataclass(kw_only=True)
class Speed:
    """Seconds that members take here, learned from those that have run.

    A spec says what an image took a member where it was dumped; this machine is faster or slower
    by one factor for all, which every member that runs measures again. No spec says what it takes
    until the first batch: as long as with the checkpoints before, at first nothing.

    Attributes:
        devices: how many share the images.
    """

    devices: int
    # Of what has run: seconds by the spec, those it took, and each where the spec is silent.
    _recorded: float = field(default=0.0, init=False)
    _took: float = field(default=0.0, init=False)
    _unrecorded: list[float] = field(default_factory=list, init=False)
    _loaded: int = field(default=0, init=False)
    _loading: float = field(default=0.0, init=False)

    def expect(self, recorded: float | None, parts: Sequence[int]) -> float:
        """Seconds that checkpoints will take.

        Args:
            recorded: seconds per image by the spec, or None where it is silent: then as long as the
                others that it is silent on took, at first nothing, so that one is tried.
            parts: images to embed, of each checkpoint.
        """
        loading = len(parts) * self._loading / max(1, self._loaded)
        return loading + sum(parts) * self._per_image(recorded)

    def learn(self, recorded: float | None, pace: Pace) -> None:
        """Take in how a member ran.

        Args:
            recorded: as for `expect`.
            pace: by the clock, with all devices at work.
        """
        self._loaded += pace.loaded
        self._loading += pace.loading
        if not pace.done:
            return
        if recorded:
            self._recorded += recorded * pace.done
            self._took += pace.seconds
        else:
            self._unrecorded.append(pace.seconds / pace.done)

    def _per_image(self, recorded: float | None) -> float:
        if recorded is None:
            return sum(self._unrecorded) / len(self._unrecorded) if self._unrecorded else 0.0
        return recorded * (self._took / self._recorded if self._recorded else 1.0 / self.devices)
