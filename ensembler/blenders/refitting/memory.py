"""What is worked out once for a `Data`: matrices that all fits share, fits that chains share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from functools import wraps
from threading import Lock, RLock
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from ensembler.blenders.contract import Blender, FittedBlend
from ensembler.blenders.data import Aside, Data

# Of a `Data`'s refits, those asked for last are kept: what stands on a chain asks for the same ones
# as the chain, while most of a deep tree's are asked for once.
REFIT_BYTES = 1 << 28

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Entry:
    found: list[Any] = field(default_factory=list)  # empty until it is worked out
    lock: RLock = field(default_factory=RLock)  # two threads that ask for the same do not both work

    def get(self, make: Callable[[], T]) -> T:
        with self.lock:
            if not self.found:
                self.found.append(make())
            found: T = self.found[0]
        return found


def once_for_data(make: Callable[Concatenate[Data, P], T]) -> Callable[Concatenate[Data, P], T]:
    """Keep what a function makes of a `Data` and of further hashable arguments, as long as it.

    It is kept in the `Data` itself, as `cached_property` does, so that both go together.
    """

    @wraps(make)
    def recall(data: Data, /, *args: P.args, **kwargs: P.kwargs) -> T:
        kept: dict[object, _Entry] = vars(data).setdefault("_kept", {})
        entry = kept.setdefault((make, args, tuple(sorted(kwargs.items()))), _Entry())
        return entry.get(lambda: make(data, *args, **kwargs))

    return recall


@once_for_data
def fit_once(data: Data, blender: Blender, aside: Aside, seed: int) -> FittedBlend:
    """`blender.fit`, shared by all that stand on the same blender."""
    return blender.fit(data, aside, seed)


def refit_once(data: Data, fitted: FittedBlend, aside: Aside) -> FittedBlend:
    """`fitted.refitted`, shared by all that stand on the same fit while REFIT_BYTES hold it."""
    return _refits(data).get(data, fitted, aside)


def keep_refit(data: Data, fitted: FittedBlend, aside: Aside, refit: FittedBlend) -> None:
    """Keep what `fitted.refitted` would work out, where a choice has worked it out already."""
    _refits(data).keep(fitted, aside, refit)


@dataclass(slots=True)
class _Refit:
    fitted: FittedBlend  # held, so that no other object has its id meanwhile
    entry: _Entry = field(default_factory=_Entry)
    size: int = 0  # bytes, once it is worked out


@dataclass(slots=True)
class _Refits:
    """Refits in the order in which they were asked for last."""

    kept: OrderedDict[tuple[int, Aside], _Refit] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)

    def get(self, data: Data, fitted: FittedBlend, aside: Aside) -> FittedBlend:
        return self._found(fitted, aside, lambda: fitted.refitted(data, aside))

    def keep(self, fitted: FittedBlend, aside: Aside, refit: FittedBlend) -> None:
        self._found(fitted, aside, lambda: refit)

    def _found(
        self, fitted: FittedBlend, aside: Aside, make: Callable[[], FittedBlend]
    ) -> FittedBlend:
        key = id(fitted), aside
        with self.lock:
            refit = self.kept.setdefault(key, _Refit(fitted))
            self.kept.move_to_end(key)
        found = refit.entry.get(make)
        with self.lock:
            refit.size = _size(found.blend)
            while sum(each.size for each in self.kept.values()) > REFIT_BYTES:
                self.kept.popitem(last=False)
        return found


@once_for_data
def _refits(data: Data) -> _Refits:  # noqa: ARG001 - kept in it
    return _Refits()


def _size(part: object) -> int:
    """How many bytes the numbers of a blend take."""
    if isinstance(part, np.ndarray):
        return part.nbytes
    if is_dataclass(part):
        return sum(_size(getattr(part, each.name)) for each in fields(part))
    return sum(map(_size, part)) if isinstance(part, tuple) else 0
