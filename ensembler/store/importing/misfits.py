"""The cell of a CSV or TSV that is not a number where it should be one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def first_misfit(
    batches: Iterable[pa.RecordBatch], numbers: Mapping[str, pa.DataType]
) -> str | None:
    """Describe the first cell that is not a number of its column's type.

    Args:
        batches: of a table whose cells are the text that was written.
        numbers: the columns to look at, and the type of each.

    Returns:
        What is wrong and what to do, by row, column and value; None where every cell fits.
    """
    import pyarrow as pa

    before = 0
    for batch in batches:
        for name, kind in numbers.items():
            row = _misfit_of(batch[name], kind)
            if row is not None:
                what = "whole number" if pa.types.is_integer(kind) else "number"
                return (
                    f"row {before + row + 1} has {batch[name][row].as_py()!r} in its column"
                    f" {name!r}, which is not a {what}; write one, or leave the cell empty"
                )
        before += len(batch)
    return None


def _misfit_of(cells: pa.StringArray, kind: pa.DataType) -> int | None:
    """Where the first misfit stands; what Arrow's reader takes for an empty cell is not one."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv

    absent = pa.array(pyarrow.csv.ConvertOptions().null_values, pa.string())
    written = pc.if_else(pc.is_in(cells, absent), None, pc.utf8_trim_whitespace(cells))
    if _fits(written, kind):
        return None
    return next(row for row, cell in enumerate(written) if not _fits(cell, kind))


def _fits(text: pa.Array | pa.Scalar, kind: pa.DataType) -> bool:
    import pyarrow as pa

    try:
        text.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
