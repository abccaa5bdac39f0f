"""failures.csv: the images that could not be read, with the reasons."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ensembler.errors import InputError
from ensembler.images.failures import Failure, write_failures
from ensembler.images.find import ImageFiles

FILES = ImageFiles(
    ids=np.array(["92e911621", "a,b", "c"]),
    paths=(Path("in/92e911621.png"), Path("in/a,b.jpg"), Path("in/c.png")),
)


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_failures_are_written_by_position_one_to_a_line(tmp_path: Path) -> None:
    path = tmp_path / "failures.csv"
    write_failures(path, FILES, [Failure(1, 'cannot be\n"read"'), Failure(0, "is empty")])
    assert rows(path) == [
        ["id", "file", "reason"],
        ["92e911621", "92e911621.png", "is empty"],
        ["a,b", "a,b.jpg", 'cannot be "read"'],
    ]
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


def test_without_failures_an_earlier_list_is_replaced_by_a_header(tmp_path: Path) -> None:
    path = tmp_path / "failures.csv"
    path.write_text("id,file,reason\nold,old.png,is empty\n")
    write_failures(path, FILES, [])
    assert rows(path) == [["id", "file", "reason"]]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"failures\.csv cannot be written \(No such file"):
        write_failures(tmp_path / "no" / "failures.csv", FILES, [])
