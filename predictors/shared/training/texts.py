"""Prompts as a captioner's tokens: made once for a fold, kept in memory, padded batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictors.shared.training.losses import PADDING

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK: Final = 4096  # prompts between two reports of progress


class Frame(NamedTuple):
    """What stands around a text's own tokens.

    Attributes:
        start: before it; the model is given these, and is not asked for them.
        end: the token behind it.
        places: that the model has for all of them.
    """

    start: tuple[int, ...]
    end: int
    places: int


@dataclass(frozen=True, slots=True)
class Texts:
    """The tokens of all prompts, framed.

    Attributes:
        tokens: of one prompt after the other, int32.
        starts: (prompts + 1,) int64, where each prompt's begin.
        given: tokens of each that the model is not asked for.
        cut: (prompts,) bool, which were longer than the model has places for.
    """

    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]
    given: int
    cut: NDArray[np.bool_]

    def padded(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tokens of some prompts, PADDING behind the shorter ones.

        Args:
            rows: (n,) of the prompts.

        Returns:
            (n, length of the longest).
        """
        lengths = self.starts[rows + 1] - self.starts[rows]
        filled = np.full((len(rows), lengths.max()), PADDING, np.int64)
        for line, row in zip(filled, rows, strict=True):
            own = self.tokens[self.starts[row] : self.starts[row + 1]]
            line[: len(own)] = own
        return filled

    def asked(self, rows: NDArray[np.int64]) -> int:
        """The tokens that a model is asked for, of some prompts in all."""
        return int((self.starts[rows + 1] - self.starts[rows] - self.given).sum())


def tokenised(
    prompts: pa.StringArray,
    tokenise: Callable[[Sequence[str]], Sequence[Sequence[int]]],
    frame: Frame,
    progress: Callable[[int, int], None],
) -> Texts:
    """All prompts as tokens; one that is too long keeps its beginning and is ended there.

    Args:
        prompts: in the order of the data.
        tokenise: texts to their own tokens.
        frame: around them.
        progress: called with prompts done and in all.
    """
    room = frame.places - len(frame.start) - 1
    start, end = np.array(frame.start, np.int32), np.array([frame.end], np.int32)
    pieces: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    for first in range(0, len(prompts), CHUNK):
        for own in tokenise(prompts[first : first + CHUNK].to_pylist()):
            lengths.append(len(own))
            pieces += [start, np.array(own[:room], np.int32), end]
        progress(len(lengths), len(prompts))
    found = np.array(lengths, np.int64)
    framed = np.minimum(found, room) + len(frame.start) + 1
    return Texts(
        tokens=np.concatenate(pieces),
        starts=np.concatenate([[0], framed.cumsum()]),
        given=len(frame.start),
        cut=found > room,
    )
