"""Files that lost their ids, their rows, or the spelling of either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.errors import StoreError
from ensembler.store.create import create_store
from ensembler.store.reader import Store
from ensembler.store.writer import add_member

Vectors = NDArray[np.float32]
ORDER = [4, 0, 8, 2, 7, 3, 6, 1, 5]


def naive(store: Store, vectors: Vectors) -> None:
    """The stored member holds each sample's own vector."""
    np.testing.assert_array_equal(Store.open(store.path).member("m").embeddings, vectors)


def text_file(path: Path, ids: list[str]) -> Path:
    path.write_text("".join(f"{id_}\n" for id_ in ids), encoding="utf-8")
    return path


def array_file(path: Path, ids: list[str]) -> Path:
    np.save(path.with_suffix(".npy"), np.asarray(ids))
    return path.with_suffix(".npy")


def table(path: Path, ids: list[str]) -> Path:
    lines = "".join(f'0,"{id_}"\n' for id_ in ids)
    path.with_suffix(".csv").write_text("fold,imgId\n" + lines, encoding="utf-8")
    return path.with_suffix(".csv")


@pytest.mark.parametrize("write", [text_file, array_file, table])
def test_a_dump_without_ids_is_joined_by_the_ids_file_beside_it_in_any_order(
    tmp_path: Path, store: Store, vectors: Vectors, write: Callable[[Path, list[str]], Path]
) -> None:
    np.save(tmp_path / "v.npy", vectors[ORDER].astype(np.float64))
    ids = write(tmp_path / "ids", store.samples.id[ORDER].tolist())
    add_member(store.path, "m", [tmp_path / "v.npy"], ids=[ids])
    naive(store, vectors)


def test_whole_numbers_in_an_array_of_ids_are_text(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id\n30\n4\n")
    store = create_store(tmp_path / "store", tmp_path / "s.csv")
    np.save(tmp_path / "ids.npy", np.array([4, 30]))
    np.save(tmp_path / "v.npy", np.array([[4.0], [30.0]]))
    add_member(store.path, "m", [tmp_path / "v.npy"], ids=[tmp_path / "ids.npy"])
    assert Store.open(store.path).member("m").embeddings.tolist() == [[30.0], [4.0]]


def test_an_array_of_python_objects_is_no_file_of_ids(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    np.save(tmp_path / "v.npy", vectors)
    np.save(tmp_path / "ids.npy", store.samples.id.astype(object), allow_pickle=True)
    with pytest.raises(StoreError, match=r"ids.npy cannot be read .*np.array\(ids, dtype=str\)"):
        add_member(store.path, "m", [tmp_path / "v.npy"], ids=[tmp_path / "ids.npy"])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_flattened_array_is_cut_into_a_row_for_each_id(
    tmp_path: Path, store: Store, vectors: Vectors, dtype: str
) -> None:
    given = vectors.astype(dtype)
    np.save(tmp_path / "v.npy", given[ORDER].ravel())
    ids = text_file(tmp_path / "ids.txt", store.samples.id[ORDER].tolist())
    add_member(store.path, "m", [tmp_path / "v.npy"], ids=[ids])
    naive(store, given.astype(np.float32))


def test_a_flattened_array_with_its_own_ids_is_cut_too(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    np.savez(tmp_path / "v.npz", ids=store.samples.id, embeddings=vectors.ravel())
    add_member(store.path, "m", [tmp_path / "v.npz"])
    naive(store, vectors)


def test_flattened_fold_files_share_one_file_of_ids_with_a_whole_one(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    given = vectors[ORDER]
    np.save(tmp_path / "v0.npy", given[:2].ravel())
    np.save(tmp_path / "v1.npy", given[2:5])
    np.save(tmp_path / "v2.npy", given[5:].ravel())
    ids = text_file(tmp_path / "ids.txt", store.samples.id[ORDER].tolist())
    add_member(store.path, "m", [tmp_path / f"v{fold}.npy" for fold in range(3)], ids=[ids])
    naive(store, vectors)


def test_flattened_targets_are_cut_into_a_row_for_each_sample(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    np.save(tmp_path / "flat.npy", vectors.ravel())
    np.savez(tmp_path / "flat.npz", id=store.samples.id[ORDER], x=vectors[ORDER].ravel())
    unit = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    for name in ("flat.npy", "flat.npz"):
        made = create_store(
            tmp_path / name.replace(".", ""), tmp_path / "samples.csv", targets=tmp_path / name
        )
        np.testing.assert_allclose(made.targets(), unit, atol=1e-7)


@pytest.mark.parametrize("count", [8, 10, 36])
def test_numbers_that_ids_do_not_share_equally_are_refused(
    tmp_path: Path, store: Store, vectors: Vectors, count: int
) -> None:
    np.save(tmp_path / "v.npy", vectors.ravel()[: 4 * 9 - 1])
    ids = text_file(tmp_path / "ids.txt", [str(number) for number in range(count)])
    message = rf"v.npy is flat, of 35 numbers, and .*ids.txt with {count} ids does not divide 35"
    with pytest.raises(StoreError, match=message):
        add_member(store.path, "m", [tmp_path / "v.npy"], ids=[ids])


def test_a_dump_without_ids_is_told_whose_rows_it_may_hold(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    np.save(tmp_path / "all.npy", vectors)
    with pytest.raises(StoreError, match=r"--ids FILE .*; it has a row for each sample: if they"):
        add_member(store.path, "m", [tmp_path / "all.npy"])
    np.save(tmp_path / "fold.npy", vectors[:3])
    with pytest.raises(StoreError, match=r"as many rows as there are samples in fold 0, 1, 2:"):
        add_member(store.path, "m", [tmp_path / "fold.npy"])
    np.save(tmp_path / "some.npy", vectors[:4])
    with pytest.raises(StoreError, match=r"or a table with an id column\)$"):
        add_member(store.path, "m", [tmp_path / "some.npy"])


def test_the_stores_own_table_names_rows_in_its_order(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    np.save(tmp_path / "v.npy", vectors)
    add_member(store.path, "m", [tmp_path / "v.npy"], ids=[store.path / "samples.parquet"])
    naive(store, vectors)


@pytest.mark.parametrize("name", ["image_id", "ID", "Id", "filename", "img", "sample id", "uuid"])
def test_a_column_that_may_be_the_ids_is_offered(tmp_path: Path, store: Store, name: str) -> None:
    (tmp_path / "v.csv").write_text(f"{name},0,1,2,3\nb,1,2,3,4\n")
    with pytest.raises(StoreError, match=rf"name one id or imgId \('{name}' perhaps\?\)"):
        add_member(store.path, "m", [tmp_path / "v.csv"])


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (["/kaggle/input/images/a1.png", "b2.png"], "the folders of a path: write file names"),
        ([r"images\a1.jpg", r"images\b2.jpg"], "the folders of a path"),
        (["a1 ", " b2"], "blanks around them: take them off"),
        (["A1", "b2"], "upper and lower case: spell them alike"),
    ],
)
def test_what_a_folder_listing_does_to_ids_is_named(
    tmp_path: Path, given: list[str], cause: str
) -> None:
    (tmp_path / "s.csv").write_text("id\na1\nb2\n")
    store = create_store(tmp_path / "store", tmp_path / "s.csv")
    np.save(tmp_path / "v.npy", np.ones((2, 3)))
    np.save(tmp_path / "ids.npy", np.asarray(given))
    with pytest.raises(StoreError, match=f"all of them would match but for {cause}"):
        add_member(store.path, "m", [tmp_path / "v.npy"], ids=[tmp_path / "ids.npy"])
