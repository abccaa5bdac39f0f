"""What shows in a member's vectors alone: NaN, zero rows, one direction for everything."""

from __future__ import annotations

import numpy as np

from ensembler.errors import first_few
from ensembler.store.audit.finding import FEW, SAME, Finding, Kind
from ensembler.store.audit.survey import Survey
from ensembler.store.reader import Samples


def find_not_finite(seen: Survey, samples: Samples) -> Finding | None:
    """Rows that hold NaN or infinity."""
    bad = np.flatnonzero(~seen.finite)
    if len(bad) == 0:
        return None
    name, ids = seen.member.name, first_few(samples.id[seen.member.rows[bad]])
    return Finding(
        kind=Kind.NAN,
        member=name,
        rows=len(bad),
        message=f"{len(bad)} of {len(seen.finite)} rows hold NaN or infinity (ids {ids}); leave"
        f" them out and add {name!r} again",
    )


def find_zero_norm(seen: Survey, samples: Samples) -> Finding | None:
    """Rows that are stored but of length zero."""
    zero = np.flatnonzero(seen.finite & ~seen.usable)
    if len(zero) == 0:
        return None
    name, ids = seen.member.name, first_few(samples.id[seen.member.rows[zero]])
    return Finding(
        kind=Kind.ZERO_NORM,
        member=name,
        rows=len(zero),
        message=f"{len(zero)} of {len(seen.finite)} rows are of length zero and count as absent"
        f" (ids {ids}); predict them, or leave them out and add {name!r} again",
    )


def find_constant(seen: Survey) -> Finding | None:
    """All rows of practically one direction.

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
