"""The list of images that could not be read, with the reasons."""

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
        position: index into the list of images.
        reason: what is wrong, such as "is empty".
    """

    position: int
    reason: str


def write_failures(path: str | Path, files: ImageFiles, failures: Sequence[Failure]) -> None:
    """Write failures.csv: id, file, reason; it appears whole or not at all.

    Without a failure it has only the header, so that an earlier run's list does not remain.

    Args:
        path: the file to create or replace; its folder must exist.
        files: the images that the positions index.
        failures: in any order; they are written in order of position.

    Raises:
        InputError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.csv

    ordered = sorted(failures)
    columns = {
        "id": [str(files.ids[failure.position]) for failure in ordered],
        "file": [files.paths[failure.position].name for failure in ordered],
        "reason": [" ".join(failure.reason.split()) for failure in ordered],
    }
    table = pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))
    try:
        with atomic_write(Path(path)) as file:
            pyarrow.csv.write_csv(table, file)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); name a file in a writable"
            " folder"
        ) from error
