"""Early ends of commands that can be resumed: Ctrl-C, or the signal of a scheduler."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

from ensembler.cli.main import INTERRUPTED
from ensembler.cli.progress import stages

SAME_COMMAND: Final = "The same command goes on where this one stopped."


@contextmanager
def resumable(
    how: str = SAME_COMMAND, *, unit: str | None = None, since: str | None = None
) -> Iterator[Callable[[str, int, int], None]]:
    """Show progress bars; on an interruption, say how to go on and exit with 130.

    An interruption before there is anything to go on from is left to the entry point.

    Args:
        how: the sentence that says it.
        unit: of what is counted, as `stages` takes it.
        since: the stage from which on there is something to go on from; None is any.

    Yields:
        A function of (stage, done, total), to be called with progress.
    """
    begun = set()
    try:
        with sigterm_as_ctrl_c(), stages(unit) as show:

            def progress(stage: str, done: int, total: int) -> None:
                begun.add(stage)
                show(stage, done, total)

            yield progress
    except KeyboardInterrupt:
        can_go_on = since in begun if since else begun
        if not can_go_on:
            raise
        click.echo(f"\nInterrupted. {how}", err=True)
        sys.exit(INTERRUPTED)


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, with which a scheduler ends a job, interrupt as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # Python lets no other do it
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
