"""What is worked out once for a `Data`: matrices that all fits share, fits that chains share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, ParamSpec, TypeVar

from ensembler.blenders.contract import Blender, FittedBlend
from ensembler.blenders.data import Aside, Data

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Entry:
    found: list[Any] = field(default_factory=list)  # empty until it is worked out
    lock: RLock = field(default_factory=RLock)  # two threads that ask for the same do not both work


def once_for_data(make: Callable[Concatenate[Data, P], T]) -> Callable[Concatenate[Data, P], T]:
    """Keep what a function makes of a `Data` and of further hashable arguments, as long as it.

    It is kept in the `Data` itself, as `cached_property` does, so that both go together.
    """

    @wraps(make)
    def recall(data: Data, /, *args: P.args, **kwargs: P.kwargs) -> T:
        kept: dict[object, _Entry] = vars(data).setdefault("_kept", {})
        entry = kept.setdefault((make, args, tuple(sorted(kwargs.items()))), _Entry())
        with entry.lock:
            if not entry.found:
                entry.found.append(make(data, *args, **kwargs))
            found: T = entry.found[0]
        return found

    return recall


@once_for_data
def fit_once(data: Data, blender: Blender, aside: Aside, seed: int) -> FittedBlend:
    """`blender.fit`, shared by all that stand on the same blender."""
    return blender.fit(data, aside, seed)
