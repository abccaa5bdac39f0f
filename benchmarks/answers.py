"""A benchmark with a wrong answer stops: how fast a wrong answer came is of no interest."""

from __future__ import annotations


class WrongAnswerError(AssertionError):
    """A contestant's answer, ours included, is not what it should be."""


def check(right: bool, sentence: str) -> None:
    """Stop the benchmark unless an answer is right.

    Args:
        right: whether it is.
        sentence: what was found instead.

    Raises:
        WrongAnswerError: it is not.
    """
    if not right:
        raise WrongAnswerError(sentence)
