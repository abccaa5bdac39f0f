"""The audit of a store: what spoils a blend in files that are sound; one check per file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ensembler.store.audit.alignment import find_misaligned
from ensembler.store.audit.closeness import find_too_close
from ensembler.store.audit.cluster import find_cluster
from ensembler.store.audit.contents import find_altered_member, find_altered_store
from ensembler.store.audit.finding import Finding, Kind
from ensembler.store.audit.folds import find_fold_faults, find_single_fold
from ensembler.store.audit.leak import find_leak
from ensembler.store.audit.survey import survey_member
from ensembler.store.audit.twins import find_twins
from ensembler.store.audit.unrelated import find_unrelated, lift_of
from ensembler.store.audit.vectors import find_constant, find_not_finite, find_zero_norm
from ensembler.store.reader import Store

__all__ = ["Finding", "Kind", "audit"]

T = TypeVar("T")


def audit(store: Store) -> tuple[Finding, ...]:
    """Look for everything suspicious in a store.

    Members are read one at a time (two for twins), in blocks of rows; a few numbers of each row of
    all of them are held. Rows that are NaN, infinite or zero are reported once and then left out of
    the other checks. Without targets it does not look for leaks, misaligned rows or folds.

    Args:
        store: an opened store.

    Returns:
        The findings: first the store's own, then each member's, in the order of the members; none
        for a clean store.

    Raises:
        StoreError: a file is missing, truncated or broken.
    """
    findings = list(find_altered_store(store))
    samples, targets = store.samples, None
    if store.manifest.targets is not None:
        targets = store.targets()
        findings += find_fold_faults(samples)
    surveys = [survey_member(store.member(name), targets) for name in store.names]
    lifts = [None if targets is None else lift_of(seen, targets, samples) for seen in surveys]
    for place, seen in enumerate(surveys):
        of_member = [
            find_altered_member(seen.member),
            find_not_finite(seen, samples),
            find_zero_norm(seen, samples),
            find_constant(seen),
            *find_twins(seen, surveys[:place]),
        ]
        if targets is not None:
            of_member += [
                find_leak(seen, samples)
                or find_cluster(seen, _without(surveys, place), targets, samples)
                or find_too_close(seen, _without(surveys, place), samples),
                find_misaligned(seen, targets, samples)
                or find_unrelated(seen, lifts[place], _without(lifts, place)),
                find_single_fold(seen.member, samples),
            ]
        findings += [finding for finding in of_member if finding is not None]
    return tuple(findings)


def _without(items: Sequence[T], place: int) -> list[T]:
    return [*items[:place], *items[place + 1 :]]
