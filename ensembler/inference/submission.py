"""Writing submission.csv in the competition's long layout, one line for each number.

A submission is an order of cells: cell `row · d + component` is the line `<id>_<component>`. A
sample submission only decides that order, so every file is written by the same few lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError, first_few
from ensembler.files import atomic_write
from ensembler.store.importing.long_layout import HEADER, split_keys

LINES = 1 << 18  # written at once; bounds the memory that their text takes
_BREAKS_CSV = '[",\r\n]'  # the layout has no quotes, so no id may need them


class _Remedies(NamedTuple):
    """Remedies for ids that only one side has; they depend on where the rows come from."""

    unpredicted: str
    unasked: str


_OF_IMAGES: Final = _Remedies(
    "add their images to the folder, or give the sample submission of these images",
    "leave their images out of the folder, or give the sample submission that has them",
)
_OF_STORE: Final = _Remedies(
    "add them to the store's samples (without embeddings they get the prior)",
    "leave them out of the store's samples, or give the sample submission that has them",
)


def write_submission(
    path: str | Path,
    ids: NDArray[np.str_],
    embeddings: NDArray[np.floating],
    sample: str | Path | None = None,
) -> None:
    """Write embeddings as submission.csv; the file appears whole or not at all.

    Values are written as the shortest text that gives the same float32 back.

    Args:
        path: the file to create or replace; its folder must exist.
        ids: (n,) text, unique.
        embeddings: (n, d), written as float32.
        sample: a sample submission whose lines and order to keep; None sorts the ids.

    Raises:
        InputError: a value is NaN or infinite, an id cannot stand in the layout or comes twice, the
            sample asks for other ids or components, or a file cannot be read or written.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        values = np.ascontiguousarray(embeddings, dtype=np.float32)
    _check(ids, values)
    dim = values.shape[1]
    cells = (
        _sorted_cells(ids, dim) if sample is None else _sample_cells(sample, ids, dim, _OF_STORE)
    )
    try:
        with atomic_write(Path(path)) as file:
            _write_cells(file, ids, values, cells)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); name a file in a folder that"
            " can be written"
        ) from error


def check_sample(sample: str | Path, ids: NDArray[np.str_], dim: int) -> None:
    """Refuse a sample submission that will not fit images, before the work that makes the rows.

    Args:
        sample: a sample submission.
        ids: (n,) text, of the images.
        dim: numbers in a row.

    Raises:
        InputError: it asks for other ids or components, or cannot be read.
    """
    _sample_cells(sample, ids, dim, _OF_IMAGES)


def _check(ids: NDArray[np.str_], values: NDArray[np.float32]) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.ndim != 2 or len(values) != len(ids):
        raise InputError(
            f"{len(ids)} ids do not fit embeddings of shape {values.shape}; give each id one row"
        )
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise InputError(
            f"the embeddings of {first_few(ids[~finite])} hold NaN or infinity; leave these rows"
            " out or predict them again"
        )
    names, count = np.unique(ids, return_counts=True)
    if (count > 1).any():
        raise InputError(f"ids come twice: {first_few(names[count > 1])}; keep one row of each")
    broken = pc.match_substring_regex(pa.array(ids, pa.string()), _BREAKS_CSV).to_numpy(False)
    if broken.any():
        raise InputError(
            f"ids hold a comma, a quote or a line break: {first_few(map(repr, ids[broken]))};"
            " a submission has no quotes: rename them"
        )


def _sorted_cells(ids: NDArray[np.str_], dim: int) -> NDArray[np.int64]:
    cells: NDArray[np.int64] = np.argsort(ids)[:, None] * dim + np.arange(dim)
    return cells.ravel()


def _sample_cells(
    sample: str | Path, ids: NDArray[np.str_], dim: int, remedies: _Remedies
) -> NDArray[np.int64]:
    """The cells in the sample's order, every cell exactly once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pa.array(ids, pa.string())
    rows = [np.empty(0, dtype=np.int64)]
    components = [np.empty(0, dtype=np.int64)]
    extra: dict[str, None] = {}  # ids that nobody predicted, in the sample's order
    try:
        for batch in _open_sample(sample):
            names, component = split_keys(batch.column(0))
            row = pc.index_in(names, value_set=known)
            if row.null_count:
                extra |= dict.fromkeys(pc.unique(names.filter(row.is_null())).to_pylist())
            rows.append(row.fill_null(-1).to_numpy().astype(np.int64))
            components.append(component.to_numpy().astype(np.int64))
    except FileNotFoundError as error:
        raise InputError(f"there is no file {sample}") from error
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise InputError(
            f"{sample} cannot be read as a sample submission: {error}; expected a CSV with the"
            f" columns {','.join(HEADER)}"
        ) from error
    row, component = np.concatenate(rows), np.concatenate(components)
    faults = _id_faults(ids, row, extra, remedies) or _cell_faults(ids, row, component, dim)
    if faults:
        raise InputError(f"{sample} does not fit the predictions: {'; '.join(faults)}")
    cells: NDArray[np.int64] = row * dim + component
    return cells


def _open_sample(sample: str | Path) -> Any:  # noqa: ANN401 - pyarrow is untyped
    import pyarrow as pa
    import pyarrow.csv

    options = pyarrow.csv.ConvertOptions(
        include_columns=[HEADER[0]], column_types={HEADER[0]: pa.string()}
    )
    return pyarrow.csv.open_csv(sample, convert_options=options)


def _id_faults(
    ids: NDArray[np.str_], row: NDArray[np.int64], extra: dict[str, None], remedies: _Remedies
) -> list[str]:
    faults = []
    if extra:
        faults.append(
            f"it asks for ids without a prediction, {first_few(extra)}: {remedies.unpredicted}"
        )
    lacking = np.ones(len(ids), dtype=bool)
    lacking[row[row >= 0]] = False
    if lacking.any():
        faults.append(f"it lacks predicted ids, {first_few(ids[lacking])}: {remedies.unasked}")
    return faults


def _cell_faults(
    ids: NDArray[np.str_], row: NDArray[np.int64], component: NDArray[np.int64], dim: int
) -> list[str]:
    outside = np.flatnonzero(component >= dim)
    if len(outside):
        first = outside[0]
        key = f"{ids[row[first]]}_{component[first]}"
        return [f"it has the key {key}, embeddings have {dim} numbers: use the same encoder"]
    count = np.bincount(row * dim + component, minlength=len(ids) * dim)
    faults = []
    for wrong, fault in (
        (count > 1, "keys that come twice"),
        (count == 0, "keys that are missing"),
    ):
        found = np.flatnonzero(wrong)
        if len(found):
            keys = ", ".join(f"{ids[cell // dim]}_{cell % dim}" for cell in found[:5])
            faults.append(f"{fault}, {len(found)} in all: {keys}; use the file as it was published")
    return faults


def _write_cells(
    file: BinaryIO,
    ids: NDArray[np.str_],
    values: NDArray[np.float32],
    cells: NDArray[np.int64],
) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv

    # Text is never quoted; the header is written here because pyarrow would quote it.
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    dim = values.shape[1]
    names = pa.array(ids, pa.string())
    numbers = pa.array([str(component) for component in range(dim)])
    flat = values.ravel()
    file.write((",".join(HEADER) + "\n").encode())
    for start in range(0, len(cells), LINES):
        some = cells[start : start + LINES]
        row, component = np.divmod(some, dim)
        keys = pc.binary_join_element_wise(names.take(row), numbers.take(component), "_")
        lines = pa.record_batch([keys, pa.array(flat[some])], names=list(HEADER))
        pyarrow.csv.write_csv(lines, file, options)
