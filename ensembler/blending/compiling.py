"""How the kernels are compiled by numba, and where their machine code is kept.

That is beside their file, else in the user's cache; `NUMBA_CACHE_DIR` chooses another place. What
cannot be kept, for want of a place or of room in it, is compiled in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache

# When a file of kernels, which call one another, was last changed.
CHANGED = max((file.stat().st_mtime_ns for file in Path(__file__).parent.glob("*.py")), default=0)

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile without the GIL; sums may be reordered into vectors, NaN and infinity keep theirs."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}
    dispatcher = njit(**options)(function)
    with suppress(RuntimeError):  # nowhere to keep machine code
        dispatcher._cache = MachineCode(function)  # noqa: SLF001 - numba sets its own in the same way
    return cast(Function, dispatcher)


class MachineCode(FunctionCache):  # type: ignore[misc] # numba has no types
    """The machine code of one function on disk, as long as there is room.

    It holds that of the functions it calls, from other files too. Numba would look only at its own
    file for changes; here a change of any file makes it anew.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        index = self._cache_file
        index._source_stamp = (index._source_stamp, CHANGED)  # noqa: SLF001 - there is no other way

    def save_overload(self, sig: object, data: object) -> None:
        """Keep what was compiled, or nothing: a new index could name the code of before."""
        try:
            super().save_overload(sig, data)
        except OSError:
            with suppress(OSError):
                for file in Path(self.cache_path).glob(f"{self._impl.filename_base}.*"):
                    file.unlink()
