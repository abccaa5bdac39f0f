"""The audit of a store: what spoils a blend in files that are sound; one check per file."""

from __future__ import annotations

from ensembler.store.audit.alignment import find_misaligned
from ensembler.store.audit.contents import find_altered_member, find_altered_store
from ensembler.store.audit.finding import Finding, Kind
from ensembler.store.audit.folds import find_fold_faults
from ensembler.store.audit.leak import find_leak
from ensembler.store.audit.survey import Survey, survey_member
from ensembler.store.audit.twins import find_twins
from ensembler.store.audit.vectors import find_constant, find_not_finite, find_zero_norm
from ensembler.store.reader import Store

__all__ = ["Finding", "Kind", "audit"]


def audit(store: Store) -> tuple[Finding, ...]:
    """Look for everything suspicious in a store.

    Members are read one at a time (two for twins), in blocks of rows. Rows that are NaN, infinite
    or zero are reported once and then left out of the other checks. Without targets there is no
    looking for leaks, misaligned rows or folds.

    Args:
        store: an opened store.

    Returns:
        The findings: first the store's own, then each member's, in the order of the members; none
        for a clean store.

    Raises:
        StoreError: a file is missing, truncated or broken.
    """
    findings = list(find_altered_store(store))
    targets = None
    if store.manifest.targets is not None:
        targets = store.targets()
        findings += find_fold_faults(store.samples)
    earlier: list[Survey] = []
    for name in store.names:
        seen = survey_member(store.member(name), targets)
        found = [
            find_altered_member(seen.member),
            find_not_finite(seen, store.samples),
            find_zero_norm(seen, store.samples),
            find_constant(seen),
            *find_twins(seen, earlier),
        ]
        if targets is not None:
            found.append(find_leak(seen, store.samples))
            found.append(find_misaligned(seen, targets, store.samples))
        findings += [finding for finding in found if finding is not None]
        earlier.append(seen)
    return tuple(findings)
