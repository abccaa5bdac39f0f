"""Prompts as a captioner's tokens: made once per fold, kept in memory, padded batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictors.shared.training.losses import PADDING

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK: Final = 4096  # prompts between two reports of progress


class Frame(NamedTuple):
    """The tokens around a text's own.

    Attributes:
        start: tokens before the text, which the model is given and does not predict.
        end: the token after the text.
        places: the largest number of tokens that the model takes, these included.
    """

    start: tuple[int, ...]
    end: int
    places: int


@dataclass(frozen=True, slots=True)
class Texts:
    """The tokens of all prompts, framed.

    Attributes:
        tokens: (tokens of all prompts,) int32, prompt after prompt.
        starts: (prompts + 1,) int64, where each prompt's tokens begin.
        given: number of tokens of each prompt that the model does not predict.
        cut: (prompts,) bool, True for prompts longer than the model's places.
    """

    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]
    given: int
    cut: NDArray[np.bool_]

    def padded(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tokens of some prompts, the shorter ones filled with PADDING.

        Args:
            rows: (n,) rows of the prompts.

        Returns:
            (n, length of the longest) int64.
        """
        lengths = self.starts[rows + 1] - self.starts[rows]
        filled = np.full((len(rows), lengths.max()), PADDING, np.int64)
        for line, row in zip(filled, rows, strict=True):
            tokens = self.tokens[self.starts[row] : self.starts[row + 1]]
            line[: len(tokens)] = tokens
        return filled

    def predicted(self, rows: NDArray[np.int64]) -> int:
        """The total number of tokens of some prompts that a model predicts."""
        return int((self.starts[rows + 1] - self.starts[rows] - self.given).sum())


def tokenise_prompts(
    prompts: pa.StringArray,
    tokenise: Callable[[Sequence[str]], Sequence[Sequence[int]]],
    frame: Frame,
    progress: Callable[[int, int], None],
) -> Texts:
    """Tokenise all prompts; one that is too long is cut at its end.

    Args:
        prompts: the prompts, in the order of the data.
        tokenise: from texts to their own tokens.
        frame: the tokens around them.
        progress: called with (prompts done, prompts in all).
    """
    room = frame.places - len(frame.start) - 1
    start, end = np.array(frame.start, np.int32), np.array([frame.end], np.int32)
    pieces: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    for first in range(0, len(prompts), CHUNK):
        for tokens in tokenise(prompts[first : first + CHUNK].to_pylist()):
            lengths.append(len(tokens))
            pieces += [start, np.array(tokens[:room], np.int32), end]
        progress(len(lengths), len(prompts))
    whole = np.array(lengths, np.int64)
    framed = np.minimum(whole, room) + len(frame.start) + 1
    return Texts(
        tokens=np.concatenate(pieces),
        starts=np.concatenate([[0], framed.cumsum()]),
        given=len(frame.start),
        cut=whole > room,
    )


def plain_tokens(tokenizer: Any, texts: Sequence[str]) -> Sequence[Sequence[int]]:  # noqa: ANN401 - of transformers
    """Tokenise texts by a tokenizer of transformers, without its special tokens."""
    encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)
    return encoded["input_ids"]  # type: ignore[no-any-return]  # lists of integers
