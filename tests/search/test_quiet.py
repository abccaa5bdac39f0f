"""Optuna is quiet within a block, in every thread that runs one, and as before after the last."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning

from ensembler.search.quiet import quiet_optuna


@pytest.fixture(autouse=True)
def _talkative() -> Iterator[None]:
    """Optuna says what it says by default, whatever was said before."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    yield
    optuna.logging.set_verbosity(before)


def speak() -> None:
    """What would be an error of this test, and a line on stderr."""
    warnings.warn("still new", ExperimentalWarning, stacklevel=1)
    assert not logging.getLogger("optuna.study").isEnabledFor(logging.INFO)


def test_a_block_is_quiet_and_what_follows_is_not() -> None:
    with quiet_optuna():
        speak()
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    with pytest.raises(ExperimentalWarning):
        warnings.warn("still new", ExperimentalWarning, stacklevel=1)


def test_a_block_that_outlives_the_one_it_began_in_stays_quiet_and_undoes_all() -> None:
    """As fits without a fold do, each in a thread of its own."""
    first_began, second_began, first_ended = Event(), Event(), Event()
    before = list(warnings.filters)

    def first() -> None:
        with quiet_optuna():
            first_began.set()
            assert second_began.wait(300)
        first_ended.set()

    def second() -> None:
        assert first_began.wait(300)
        with quiet_optuna():
            second_began.set()
            assert first_ended.wait(300)
            speak()

    with ThreadPoolExecutor(2) as pool:
        for block in [pool.submit(first), pool.submit(second)]:
            block.result()
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert warnings.filters == before


def test_an_error_ends_the_quiet_as_an_end_does() -> None:
    with pytest.raises(ZeroDivisionError), quiet_optuna():
        1 / 0  # noqa: B018
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
