"""Where blends and members do well and badly: by source, by fold, by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.statistics import Statistics
from ensembler.errors import InputError, unknown_name
from ensembler.store.reader import Samples

COLUMNS = ("source", "fold", "group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The rows that share a value of a column.

    Attributes:
        value: theirs.
        rows: how many.
        blends: name → mean held-out cosine.
        members: name → mean cosine over the rows it covers; None where it has none of them.
    """

    value: str
    rows: int
    blends: Mapping[str, float]
    members: Mapping[str, float | None]


def column_of(samples: Samples, name: str) -> NDArray[np.generic]:
    """(rows,) what a column of the samples says of each.

    Raises:
        InputError: no such column.
    """
    if name not in COLUMNS:
        raise InputError(unknown_name("column", name, COLUMNS))
    return np.asarray(getattr(samples, name))


def by_value(
    column: NDArray[np.generic],
    blends: Mapping[str, NDArray[np.float64]],
    statistics: Statistics,
) -> tuple[Part, ...]:
    """Scores of blends and members among the rows of each value of a column.

    Args:
        column: (rows,) any type; its values are told as text.
        blends: (rows,) held-out cosines by name, at least one.
        statistics: of all rows.

    Returns:
        A part for each value, sorted by the first blend's score, the worst first. Rows of weight 0
        count for nothing; a value with none of weight is left out.
    """
    values, code = np.unique(column.astype(str), return_inverse=True)
    present = statistics.raw.lengths > 0.0
    parts = []
    for place, value in enumerate(values):
        rows = np.flatnonzero((code == place) & (statistics.weight > 0.0))
        if not len(rows):
            continue
        weight = statistics.weight[rows]
        covered = weight @ present[rows]
        total = weight @ statistics.raw.cross[rows]
        parts.append(
            Part(
                value=str(value),
                rows=len(rows),
                blends={
                    name: float(np.average(cosines[rows], weights=weight))
                    for name, cosines in blends.items()
                },
                members={
                    name: float(total[m] / covered[m]) if covered[m] > 0.0 else None
                    for m, name in enumerate(statistics.names)
                },
            )
        )
    return tuple(sorted(parts, key=lambda part: next(iter(part.blends.values()))))
