"""A cell that is not a number is named by row, column and value."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from ensembler.errors import StoreError
from ensembler.store.importing import tables
from ensembler.store.importing.tables import BARE, read_columns, stream_columns

WHOLE, REAL = pa.int64(), pa.float32()


def read(folder: Path, cell: str, kind: pa.DataType) -> pa.Table:
    (folder / "t.csv").write_text(f'id,n\na,7\n"b\n",8\nc,"{cell}"\n')
    return read_columns(folder / "t.csv", {"id": pa.string(), "n": kind})


@pytest.mark.parametrize(
    ("kind", "cell"),
    [(WHOLE, cell) for cell in ("1.5", "1e3", "+1", "TRUE", "x", "1 000", "2" * 30)]
    + [(REAL, cell) for cell in ("0x1", "TRUE", "x", "1,5")],
)
def test_a_cell_that_is_no_number_is_named(tmp_path: Path, kind: pa.DataType, cell: str) -> None:
    with pytest.raises(StoreError, match=r"t\.csv: row 3 has .* in its column 'n'") as refused:
        read(tmp_path, cell, kind)
    assert repr(cell) in str(refused.value)
    assert f"which is not a {'whole ' if kind == WHOLE else ''}number" in str(refused.value)


@pytest.mark.parametrize("kind", [WHOLE, REAL], ids=str)
@pytest.mark.parametrize("fine", [" 1 ", "", "NA", "nan", "-0"])
def test_what_the_reader_takes_is_not_blamed_for_a_cell_below(
    tmp_path: Path, fine: str, kind: pa.DataType
) -> None:
    read(tmp_path, fine, kind)
    with pytest.raises(StoreError, match="row 4 has 'x'"):
        read(tmp_path, f'{fine}"\nd,"x', kind)


def test_rows_are_counted_through_all_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CSV_BLOCK", 1 << 10)
    rows = "".join(f"{row}.png\tprompt\t{'x' if row == 777 else row % 5}\n" for row in range(1000))
    (tmp_path / "t.tsv").write_text(rows)
    types = {"prompt": pa.string(), "fold": pa.int64()}
    with pytest.raises(StoreError, match=r"t\.tsv: row 778 has 'x' in its column 'fold'"):
        list(stream_columns(tmp_path / "t.tsv", types, header=BARE))


def test_a_file_that_is_broken_otherwise_is_still_told_as_broken(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,n\na,1\nb\nc,x\n")
    with pytest.raises(StoreError, match="cannot be read as a table"):
        read_columns(tmp_path / "t.csv", {"n": pa.int64()})
