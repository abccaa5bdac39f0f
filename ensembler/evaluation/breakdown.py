"""Scores of blends and members by source, by group, by any column of the samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.statistics import Statistics
from ensembler.errors import InputError, unknown_name
from ensembler.store.reader import Samples

SOURCE = "source"  # the column to go by where none is asked for
FEW = 8  # distinct numbers of a column that stay apart; more become quarters of the rows


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


def column_of(samples: Samples, name: str) -> NDArray[np.str_]:
    """(rows,) the text of a column of the samples.

    Numbers, those of weights and of further columns, come as ranges, as in "1.5 … 4", where more
    than FEW differ: equal numbers share one, and each has about a quarter of the rows.

    Raises:
        InputError: no such column.
    """
    columns: dict[str, NDArray[np.generic]] = {
        SOURCE: samples.source,
        "fold": samples.fold,
        "group": samples.group,
        **({} if samples.prompt is None else {"prompt": samples.prompt}),
    }
    measures = {"weight": samples.weight, **samples.further}
    if name in measures:
        return _ranges(measures[name].astype(str))
    if name in columns:
        return columns[name].astype(str)
    raise InputError(unknown_name("column", name, (*columns, *measures)))


def _ranges(column: NDArray[np.str_]) -> NDArray[np.str_]:
    """A column of many numbers as ranges, blanks and non-finite cells kept; any other as it is."""
    try:
        numbers = np.where(column == "", "nan", column).astype(np.float64)
    except ValueError:
        return column
    known = np.isfinite(numbers)
    values = numbers[known]
    if len(np.unique(values)) <= FEW:
        return column
    ends = np.unique(np.quantile(values, (0.25, 0.5, 0.75, 1.0), method="inverted_cdf"))
    place = np.searchsorted(ends, values)
    parts = [values[place == one] for one in range(len(ends))]
    labels = np.array([f"{part.min():g} … {part.max():g}" for part in parts], dtype=object)
    found = column.astype(object)
    found[known] = labels[place]
    return found.astype(str)


def by_value(
    column: NDArray[np.str_],
    blends: Mapping[str, NDArray[np.float64]],
    statistics: Statistics,
) -> tuple[Part, ...]:
    """Scores of blends and members among the rows of each value of a column.

    Args:
        column: (rows,) text.
        blends: (rows,) held-out cosines by name, at least one.
        statistics: of all rows; pairs of members are not looked at.

    Returns:
        A part for each value, sorted by the first blend's score, the worst first. Rows of weight 0
        count for nothing; a value with none of weight is left out.
    """
    values, code = np.unique(column, return_inverse=True)
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
