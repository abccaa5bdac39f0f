"""Images that could not be read: which, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ensembler.errors import InputError
from ensembler.files import atomic_write
from ensembler.images.find import ImageFiles


class Failure(NamedTuple):
    """An image that could not be read.

    Attributes:
        position: among the images that were asked for.
        reason: what is wrong, as in "is empty".
    """

    position: int
    reason: str


def write_failures(path: str | Path, files: ImageFiles, failures: Sequence[Failure]) -> None:
    """Write failures.csv: id, file, reason; it appears whole or not at all.

    Without a failure it has the header only, so that an earlier run's list does not stay.

    Args:
        path: the file to create or replace; its folder must exist.
        files: the images, in the order that the positions count.
        failures: in any order; they are written by position.

    Raises:
        InputError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.csv

    ordered = sorted(failures)
    columns = {
        "id": [str(files.ids[one.position]) for one in ordered],
        "file": [files.paths[one.position].name for one in ordered],
        "reason": [" ".join(one.reason.split()) for one in ordered],
    }
    table = pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))
    try:
        with atomic_write(Path(path)) as file:
            pyarrow.csv.write_csv(table, file)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); name a file in a folder that"
            " can be written"
        ) from error
