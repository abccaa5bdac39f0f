"""Faults of a member's vectors alone: NaN, zero rows, one direction for everything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import first_few
from ensembler.store.audit.finding import FEW, SAME, Finding, Kind
from ensembler.store.audit.survey import Survey
from ensembler.store.reader import Samples


def find_not_finite(seen: Survey, samples: Samples) -> Finding | None:
    """Find rows that hold NaN or infinity."""
    fault, remedy = "hold NaN or infinity", "leave them out"
    return _bad_rows(seen, samples, ~seen.finite, Kind.NAN, fault, remedy)


def find_zero_norm(seen: Survey, samples: Samples) -> Finding | None:
    """Find rows that are stored but of length zero."""
    fault, remedy = "are of length zero and count as absent", "predict them, or leave them out"
    return _bad_rows(seen, samples, seen.finite & ~seen.usable, Kind.ZERO_NORM, fault, remedy)


def find_constant(seen: Survey) -> Finding | None:
    """Find a member whose rows all have practically one direction.

    The mean of unit vectors is as long as their mean cosine with its direction.
    """
    rows = int(seen.usable.sum())
    alike = float(np.linalg.norm(seen.mean))
    if rows < FEW or alike <= SAME:
        return None
    name = seen.member.name
    return Finding(
        kind=Kind.CONSTANT,
        member=name,
        rows=rows,
        message=f"all {rows} rows point one way (mean cosine with their mean {alike:.4f}); check"
        f" that its weights were loaded and add {name!r} again, or remove it",
    )


def _bad_rows(
    seen: Survey, samples: Samples, bad: NDArray[np.bool_], kind: Kind, fault: str, remedy: str
) -> Finding | None:
    rows = np.flatnonzero(bad)
    if len(rows) == 0:
        return None
    name, ids = seen.member.name, first_few(samples.id[seen.member.rows[rows]])
    return Finding(
        kind=kind,
        member=name,
        rows=len(rows),
        message=f"{len(rows)} of {len(bad)} rows {fault} (ids {ids}); {remedy} and add {name!r}"
        " again",
    )
