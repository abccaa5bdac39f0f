"""What Ctrl-C and a scheduler's SIGTERM make of work that can go on later."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from ensembler.cli.interrupting import resumable, sigterm_as_ctrl_c

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def interrupted_after(*begun: str, by: signal.Signals, since: str | None = None) -> None:
    """Work that has told of its stages when a signal comes."""
    with resumable("Call it again.", since=since) as progress:
        for stage in begun:
            progress(stage, 1, 2)
        os.kill(os.getpid(), by)


@pytest.mark.parametrize("how", SIGNALS)
def test_a_signal_ends_with_130_and_the_sentence_that_says_how_to_go_on(
    how: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        interrupted_after("stage", by=how)
    assert stopped.value.code == 130
    assert capsys.readouterr() == ("", "\nInterrupted. Call it again.\n")


@pytest.mark.parametrize("how", SIGNALS)
def test_before_any_progress_there_is_nothing_to_go_on_from(
    how: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_after(by=how)
    assert capsys.readouterr() == ("", "")


def test_a_stage_may_be_named_from_which_on_there_is() -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_after("statistics", by=signal.SIGTERM, since="study")
    with pytest.raises(SystemExit):
        interrupted_after("statistics", "study", by=signal.SIGTERM, since="study")


def test_afterwards_sigterm_does_what_it_did() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with resumable():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    with ThreadPoolExecutor(1) as pool:
        before = signal.getsignal(signal.SIGTERM)

        def inside() -> object:
            with sigterm_as_ctrl_c():
                return signal.getsignal(signal.SIGTERM)

        assert pool.submit(inside).result() == before
