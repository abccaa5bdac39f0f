"""Optuna without its information messages and experimental warnings."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from threading import Lock

import optuna


class _Blocks:
    """The blocks that are running, in any thread.

    Verbosity and warning filters belong to the process. Were each block to restore what it found, a
    block that ends would end the quiet of the others, and the last would restore the quiet itself.
    So the first block sets both, and the last one restores them.
    """

    def __init__(self) -> None:
        self._lock, self._count = Lock(), 0
        self._undo = contextlib.ExitStack()

    def begin(self) -> None:
        with self._lock:
            self._count += 1
            if self._count == 1:
                self._undo.callback(optuna.logging.set_verbosity, optuna.logging.get_verbosity())
                optuna.logging.set_verbosity(optuna.logging.WARNING)
                self._undo.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)

    def end(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                self._undo.close()


_BLOCKS = _Blocks()


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna's information messages and experimental warnings, off for a while.

    Blocks may be nested, and may overlap in several threads, as where folds are fitted at once.
    """
    _BLOCKS.begin()
    try:
        yield
    finally:
        _BLOCKS.end()
