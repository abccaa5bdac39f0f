"""What a dump's work folder records: a line for the predictor, then one for each finished batch."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ensembler.store.model import EncoderRecord, Frozen


class Made(Frozen):
    """What a loaded predictor says of itself; every checkpoint of a dump says the same."""

    dim: int
    preprocessing: dict[str, Any]
    encoder: EncoderRecord | None  # of a captioner's texts


class Batch(Frozen):
    """A finished batch; positions are those of samples."""

    number: int  # of the pass
    stop: int  # images of the pass that are settled with it
    failures: dict[int, str]  # position → why it has no vector
    captions: dict[int, str]  # position → text
    seconds: float  # since the batch before
    limit: int | None  # how many images the device took at once, where it refused more


class Record:
    """What is done.

    Attributes:
        made: None before the first checkpoint was loaded.
        failures: pass → positions of samples without a vector → why.
        captions: position → text; those of several checkpoints are joined by " | ".
        limit: how many images the device took at once, where it refused more.
    """

    def __init__(self) -> None:
        self.made: Made | None = None
        self.failures: defaultdict[int, dict[int, str]] = defaultdict(dict)
        self.captions: dict[int, str] = {}
        self.limit: int | None = None
        self._stops: dict[int, int] = {}
        self._seconds = 0.0

    def add(self, batch: Batch) -> None:
        """Take in a finished batch."""
        self._stops[batch.number] = batch.stop
        self.failures[batch.number] |= batch.failures
        for position, text in batch.captions.items():
            before = self.captions.get(position)
            self.captions[position] = text if before is None else f"{before} | {text}"
        self.limit = batch.limit
        self._seconds += batch.seconds

    def settled(self, number: int) -> int:
        """Images of a pass that need not be embedded again."""
        return self._stops.get(number, 0)

    @property
    def images(self) -> int:
        """Images embedded, each as often as it went through a checkpoint."""
        return sum(self._stops.values())

    @property
    def seconds_per_image(self) -> float:
        """Of one checkpoint, decoding included where it was waited for; three digits."""
        return float(f"{self._seconds / max(1, self.images):.3g}")
