"""Every kind of file that carries the same vectors makes the same member."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from ensembler.store.reader import Store
from ensembler.store.writer import add_member

Vectors = NDArray[np.floating]
Written = tuple[list[Path], list[Path]]  # files, --ids


def ids_file(folder: Path, ids: list[str], name: str = "ids.txt") -> Path:
    (folder / name).write_text("".join(f"{id_}\n" for id_ in ids), encoding="utf-8")
    return folder / name


def npy_with_text_ids(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    np.save(folder / "v.npy", vectors)
    return [folder / "v.npy"], [ids_file(folder, ids)]


def npy_with_table_of_ids(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    np.save(folder / "v.npy", vectors)
    pq.write_table(pa.table({"other": vectors[:, 0], "imgId": ids}), folder / "ids.parquet")
    return [folder / "v.npy"], [folder / "ids.parquet"]


def npy_in_fortran_order(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    np.save(folder / "v.npy", np.asfortranarray(vectors))
    return [folder / "v.npy"], [ids_file(folder, ids)]


def npy_big_endian(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    np.save(folder / "v.npy", vectors.astype(vectors.dtype.newbyteorder(">")))
    return [folder / "v.npy"], [ids_file(folder, ids)]


def npz_with_ids(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    np.savez(folder / "v.npz", embeddings=vectors, ids=np.asarray(ids))
    return [folder / "v.npz"], []


def npz_compressed_with_bytes_ids(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    encoded = np.asarray([id_.encode() for id_ in ids])
    np.savez_compressed(folder / "v.npz", x=vectors, id=encoded)
    return [folder / "v.npz"], []


def pt_tensor(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    torch = pytest.importorskip("torch", reason="needs torch")
    torch.save(torch.from_numpy(vectors.copy()), folder / "v.pt")
    return [folder / "v.pt"], [ids_file(folder, ids)]


def pt_dict(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    torch = pytest.importorskip("torch", reason="needs torch")
    content = {"embeddings": torch.from_numpy(vectors.copy()), "ids": ids}
    torch.save(content, folder / "v.pt")
    return [folder / "v.pt"], []


def parquet_lists(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    values = pa.array(list(vectors), pa.list_(pa.from_numpy_dtype(vectors.dtype)))
    pq.write_table(
        pa.table({"id": ids, "embedding": values}), folder / "v.parquet", row_group_size=2
    )
    return [folder / "v.parquet"], []


def parquet_fixed_lists(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    flat = pa.array(np.ascontiguousarray(vectors).ravel())
    values = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    pq.write_table(pa.table({"imgId": ids, "e": values}), folder / "v.parquet")
    return [folder / "v.parquet"], []


def parquet_columns(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    columns = {f"c{k}": np.ascontiguousarray(vectors[:, k]) for k in range(vectors.shape[1])}
    pq.write_table(pa.table({"id": ids, **columns}), folder / "v.parquet")
    return [folder / "v.parquet"], []


def wide_csv(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    with (folder / "v.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["z", "id", "y", "10", "9"])  # neither first nor sorted
        for id_, row in zip(ids, vectors.tolist(), strict=True):
            writer.writerow([row[0], id_, *row[1:]])
    return [folder / "v.csv"], []


def wide_tsv(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    lines = ["id\ta\tb\tc\td"]
    lines += ["\t".join([i, *map(repr, row)]) for i, row in zip(ids, vectors.tolist(), strict=True)]
    (folder / "v.tsv").write_text("\r\n".join(lines), encoding="utf-8")
    return [folder / "v.tsv"], []


def long_layout(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    with (folder / "v.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["imgId_eId", "val"])
        for id_, row in zip(ids, vectors.tolist(), strict=True):
            writer.writerows((f"{id_}_{k}", value) for k, value in enumerate(row))
    return [folder / "v.csv"], []


def folds_with_ids_each(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    files, id_files = [], []
    for fold in range(3):
        (folder / f"fold{fold}").mkdir()
        np.save(folder / f"fold{fold}" / "v.npy", vectors[fold::3])
        files.append(folder / f"fold{fold}" / "v.npy")
        id_files.append(ids_file(folder, ids[fold::3], f"ids{fold}.txt"))
    return files, id_files


def folds_with_ids_for_all(folder: Path, ids: list[str], vectors: Vectors) -> Written:
    files = []
    for fold, rows in enumerate(np.array_split(np.arange(len(ids)), 3)):
        np.save(folder / f"v{fold}.npy", vectors[rows])
        files.append(folder / f"v{fold}.npy")
    return files, [ids_file(folder, ids)]


WRITERS: list[Callable[[Path, list[str], Vectors], Written]] = [
    npy_with_text_ids,
    npy_with_table_of_ids,
    npy_in_fortran_order,
    npy_big_endian,
    npz_with_ids,
    npz_compressed_with_bytes_ids,
    pt_tensor,
    pt_dict,
    parquet_lists,
    parquet_fixed_lists,
    parquet_columns,
    wide_csv,
    wide_tsv,
    long_layout,
    folds_with_ids_each,
    folds_with_ids_for_all,
]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("write", WRITERS, ids=lambda write: str(write.__name__))
def test_every_format_makes_the_same_member_whatever_the_order(
    tmp_path: Path,
    store: Store,
    vectors: Vectors,
    write: Callable[[Path, list[str], Vectors], Written],
    dtype: str,
) -> None:
    order = [4, 0, 8, 2, 7, 3, 6]  # shuffled, and without samples 1 and 5
    given = vectors[order].astype(dtype)
    folder = tmp_path / "files"
    folder.mkdir()
    files, ids = write(folder, store.samples.id[order].tolist(), given)
    report = add_member(store.path, "m", files, ids=ids)
    member = Store.open(store.path).member("m")
    assert (report.member.rows, report.coverage, report.unknown_dropped) == (7, 7 / 9, 0)
    assert member.rows.tolist() == sorted(order)
    expected = np.asarray(given[np.argsort(order)], dtype=np.float32)
    np.testing.assert_array_equal(member.embeddings, expected)
    names = [file.relative_to(folder).as_posix() for file in files]
    assert list(member.record.origin.files) == names
