"""Values computed once for a `Data`: matrices that all fits share, fits that chains share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import wraps
from threading import Lock, RLock
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from ensembler.blenders.contract import Blender, FittedBlend
from ensembler.blenders.data import Data, HeldFolds

# Of a `Data`'s refits, those asked for last are kept: what stands on a chain asks for the same ones
# as the chain, while most of a deep tree's are asked for once.
REFIT_BYTES = 1 << 28

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Entry:
    found: list[Any] = field(default_factory=list)  # empty until it is computed
    lock: RLock = field(default_factory=RLock)  # two threads that ask for the same do not both work

    def get(self, make: Callable[[], T]) -> T:
        with self.lock:
            if not self.found:
                self.found.append(make())
            found: T = self.found[0]
        return found


def once_for_data(make: Callable[Concatenate[Data, P], T]) -> Callable[Concatenate[Data, P], T]:
    """Compute a function of a `Data` and further hashable arguments once, for as long as it lives.

    Its values stand in the `Data` itself, as those of `cached_property` do.
    """

    @wraps(make)
    def recall(data: Data, /, *args: P.args, **kwargs: P.kwargs) -> T:
        entry: _Entry = data.memo.setdefault((make, args, tuple(sorted(kwargs.items()))), _Entry())
        return entry.get(lambda: make(data, *args, **kwargs))

    return recall


def fit_once(data: Data, blender: Blender, held_out: HeldFolds, seed: int) -> FittedBlend:
    """`blender.fit`, shared by all that stand on the same blender."""
    entry = _fits(data).setdefault((blender, held_out, seed), _Entry())
    return entry.get(lambda: blender.fit(data, held_out, seed))


def forget_fits(data: Data, needed: Collection[Blender]) -> None:
    """Drop fits that are no longer needed, and their refits.

    A fit that is asked for again is made again. Not to be called while other threads fit.

    Args:
        data: whose fits are dropped.
        needed: the blenders whose fits are kept. Fits on all rows are always kept: each blender has
            only one, and it may be the one to freeze.
    """
    fits = _fits(data)
    for blender, held_out, seed in list(fits):
        if held_out and blender not in needed:
            del fits[blender, held_out, seed]
    _refits(data).keep_those_of([fitted for entry in fits.values() for fitted in entry.found])


def forget_everything(data: Data) -> None:
    """Drop everything that was computed once for a `Data`; it is computed again when asked for."""
    data.memo.clear()


def refit_once(data: Data, fitted: FittedBlend, held_out: HeldFolds) -> FittedBlend:
    """`fitted.refitted`, shared by all that stand on the same fit while REFIT_BYTES hold it."""
    return _refits(data).get(data, fitted, held_out)


def keep_refit(data: Data, fitted: FittedBlend, held_out: HeldFolds, refit: FittedBlend) -> None:
    """Keep what `fitted.refitted` would compute, where a choice has computed it already."""
    _refits(data).keep(fitted, held_out, refit)


@once_for_data
def _fits(data: Data) -> dict[tuple[Blender, HeldFolds, int], _Entry]:  # noqa: ARG001 - kept in it
    return {}


@dataclass(slots=True)
class _Refit:
    fitted: FittedBlend  # held, so that no other object has its id meanwhile
    entry: _Entry = field(default_factory=_Entry)
    size: int = 0  # bytes, once it is computed


@dataclass(slots=True)
class _Refits:
    """Refits in the order in which they were asked for last."""

    kept: OrderedDict[tuple[int, HeldFolds], _Refit] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)

    def get(self, data: Data, fitted: FittedBlend, held_out: HeldFolds) -> FittedBlend:
        return self._found(fitted, held_out, lambda: fitted.refitted(data, held_out))

    def keep(self, fitted: FittedBlend, held_out: HeldFolds, refit: FittedBlend) -> None:
        self._found(fitted, held_out, lambda: refit)

    def keep_those_of(self, fits: Sequence[FittedBlend]) -> None:
        left = {id(fitted) for fitted in fits}
        for key in [key for key in self.kept if key[0] not in left]:
            del self.kept[key]

    def _found(
        self, fitted: FittedBlend, held_out: HeldFolds, make: Callable[[], FittedBlend]
    ) -> FittedBlend:
        key = id(fitted), held_out
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
    """The size of a blend's numbers in bytes."""
    if isinstance(part, np.ndarray):
        return part.nbytes
    if is_dataclass(part):
        return sum(_size(getattr(part, each.name)) for each in fields(part))
    return sum(map(_size, part)) if isinstance(part, tuple) else 0
