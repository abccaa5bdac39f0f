"""Folds that cannot give an honest score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from ensembler.errors import first_few
from ensembler.folds import split_groups
from ensembler.store.audit.finding import Finding, Kind
from ensembler.store.reader import Member, Samples

UNEQUAL: Final = 5  # a fold this many times as large as another; dealt folds stay below it
_DEAL = "create the store from samples without a fold column, and whole groups are dealt evenly"


def find_fold_faults(samples: Samples) -> Iterator[Finding]:
    """Find groups in several folds; and missing, single, empty, weightless and unequal folds.

    A negative fold means none. Folds may be numbered from 0 or from 1.

    Args:
        samples: the rows of a store with targets.

    Yields:
        At most one finding of each kind of fault.
    """
    inside = samples.fold >= 0
    fold, group = samples.fold[inside], samples.group[inside]
    split = split_groups(group, fold)
    if len(split):
        yield Finding(
            kind=Kind.GROUP_ACROSS_FOLDS,
            member=None,
            rows=int(np.isin(group, split).sum()),
            message=f"{len(split)} groups have rows in more than one fold ({first_few(split)}), so"
            f" held-out scores see their own targets; {_DEAL}",
        )
    outside = len(samples) - len(fold)
    if outside:
        yield _fault(
            outside, f"{outside} of {len(samples)} rows have no fold; give them one, or {_DEAL}"
        )
    numbers, sizes = np.unique(fold, return_counts=True)
    if len(numbers) == 0:
        return
    if len(numbers) == 1:
        yield _fault(len(fold), f"all rows are in fold {numbers[0]}: nothing is held out; {_DEAL}")
    empty = np.setdiff1d(np.arange(numbers[0], numbers[-1]), numbers)
    if len(empty):
        yield _fault(
            len(fold),
            f"folds run from {numbers[0]} to {numbers[-1]}, but no row is in {first_few(empty)};"
            f" add the missing rows, or {_DEAL}",
        )
    mass = np.array([samples.weight[samples.fold == number].sum() for number in numbers])
    light = numbers[mass <= 0.0]
    if len(numbers) > 1 and len(light):
        heavy = numbers[mass > 0.0]
        alone = (
            f", and without fold {heavy[0]} there is nothing to fit on" if len(heavy) == 1 else ""
        )
        yield _fault(
            int(np.isin(fold, light).sum()),
            f"no row has a positive weight in fold {first_few(light)}: nothing is scored there"
            f"{alone}; give some rows a weight, or {_DEAL}",
        )
    large, small = int(sizes.argmax()), int(sizes.argmin())
    if sizes[large] > UNEQUAL * sizes[small]:
        yield _fault(
            int(sizes[large]),
            f"fold {numbers[large]} holds {sizes[large]} rows, fold {numbers[small]} only"
            f" {sizes[small]}: scores hang on the large one; {_DEAL}",
        )


def find_single_fold(member: Member, samples: Samples) -> Finding | None:
    """Find a member of one fold alone, such as the dump of one model of a cross-validation."""
    fold = samples.fold[member.rows]
    folds = np.unique(samples.fold[samples.fold >= 0])
    if len(folds) < 2 or fold[0] < 0 or (fold != fold[0]).any():
        return None
    return Finding(
        kind=Kind.FOLDS,
        member=member.name,
        rows=len(fold),
        message=f"all its {len(fold)} rows are in fold {fold[0]}, so that nothing outside tells its"
        f" weight; take it out and add {member.name!r} again with the files of all {len(folds)}"
        " folds",
    )


def _fault(rows: int, message: str) -> Finding:
    return Finding(kind=Kind.FOLDS, member=None, rows=rows, message=message)
