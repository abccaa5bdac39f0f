"""Checking of answers: a benchmark stops at a wrong one, whose speed is of no interest."""

from __future__ import annotations


class WrongAnswerError(AssertionError):
    """A contestant's answer, ours included, is wrong."""


def check(right: bool, sentence: str) -> None:
    """Stop the benchmark unless an answer is right.

    Args:
        right: whether the answer is right.
        sentence: the message where it is wrong.

    Raises:
        WrongAnswerError: the answer is wrong.
    """
    if not right:
        raise WrongAnswerError(sentence)
