"""Hostile, broken and mistaken files: each is refused with its place and what to do."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from ensembler.errors import StoreError
from ensembler.store.create import create_store
from ensembler.store.importing.sources import read_source
from ensembler.store.reader import Store
from ensembler.store.writer import add_member, remove_member

IDS = ["a", "b", "c", "d"]
NOBODY = 65534


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of four samples, with targets and the member "m"."""
    (tmp_path / "s.csv").write_text("id\n" + "\n".join(IDS) + "\n")
    np.save(tmp_path / "t.npy", np.eye(4, 3) + 1.0)
    np.savez(tmp_path / "m.npz", ids=IDS, embeddings=np.eye(4, 3))
    path = create_store(tmp_path / "store", tmp_path / "s.csv", targets=tmp_path / "t.npy").path
    add_member(path, "m", [tmp_path / "m.npz"])
    return path


def read_all(store: Path) -> None:
    opened = Store.open(store)
    opened.samples  # noqa: B018 - reading it is the point
    opened.targets()
    opened.members()


def valid_files(folder: Path) -> dict[str, Path]:
    """The same four vectors in every kind of file."""
    torch = pytest.importorskip("torch", reason="needs torch")
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3) + 1
    files = {kind: folder / f"v.{kind}" for kind in ("npy", "npz", "pt", "parquet", "csv")}
    np.save(files["npy"], vectors)
    np.savez_compressed(files["npz"], ids=IDS, embeddings=vectors)
    torch.save({"ids": IDS, "embeddings": torch.from_numpy(vectors)}, files["pt"])
    pq.write_table(pa.table({"id": IDS, "v": vectors.tolist()}), files["parquet"])
    rows = [f"{id_},{x},{y},{z}" for id_, (x, y, z) in zip(IDS, vectors, strict=True)]
    files["csv"].write_text("id,x,y,z\n" + "\n".join(rows))
    return files


class Touch:
    """A pickle that leaves a mark when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "parquet", "csv"])
def test_an_empty_file_of_any_kind_is_named(tmp_path: Path, store: Path, kind: str) -> None:
    file = tmp_path / f"empty.{kind}"
    file.touch()
    (tmp_path / "ids.txt").write_text("a\n")
    with pytest.raises(StoreError, match=rf"empty\.{kind} cannot be read") as caught:
        add_member(store, "n", [file])
    assert "again" in str(caught.value)


@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "parquet"])
def test_a_file_cut_anywhere_is_named(tmp_path: Path, store: Path, kind: str) -> None:
    whole = valid_files(tmp_path)[kind].read_bytes()
    file = tmp_path / f"cut.{kind}"
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    ids = [tmp_path / "ids.txt"] if kind == "npy" else []
    for length in {1, 5, 9, *range(16, len(whole), max(1, len(whole) // 40)), len(whole) - 1}:
        file.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=rf"cut\.{kind}"):
            add_member(store, "n", [file], ids=ids)
    assert Store.open(store).names == ("m",)


@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "parquet", "csv"])
def test_a_file_with_changed_bytes_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    whole = valid_files(tmp_path)[kind].read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        (tmp_path / f"damaged.{kind}").write_bytes(damaged)
        try:
            read_source(tmp_path / f"damaged.{kind}")
        except StoreError:
            refused += 1
    assert 0 < refused < 300


def test_a_table_cut_within_a_line_is_named(tmp_path: Path, store: Path) -> None:
    text = valid_files(tmp_path)["csv"].read_text()
    (tmp_path / "cut.csv").write_text(text[: text.rindex(",")])
    with pytest.raises(StoreError, match=r"cut\.csv cannot be read as a table: .*4 columns, got 3"):
        add_member(store, "n", [tmp_path / "cut.csv"])


@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "parquet", "csv", "txt"])
def test_a_missing_file_is_named(tmp_path: Path, store: Path, kind: str) -> None:
    with pytest.raises(StoreError, match=rf"nowhere\.{kind}"):
        add_member(store, "n", [tmp_path / f"nowhere.{kind}"])


@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "pth", "parquet", "csv", "tsv"])
def test_a_missing_file_is_said_to_be_missing(tmp_path: Path, store: Path, kind: str) -> None:
    with pytest.raises(StoreError, match=rf"^there is no file .*nowhere\.{kind}$"):
        add_member(store, "n", [tmp_path / f"nowhere.{kind}"])
    np.save(tmp_path / "v.npy", np.ones((1, 3)))
    with pytest.raises(StoreError, match=r"^there is no file .*nowhere\.txt$"):
        add_member(store, "n", [tmp_path / "v.npy"], ids=[tmp_path / "nowhere.txt"])


def test_a_file_in_place_of_a_store_is_called_one(store: Path) -> None:
    with pytest.raises(StoreError, match=r"manifest\.json is a file, not a store folder"):
        Store.open(store / "manifest.json")


def test_a_file_of_one_kind_under_the_name_of_another_is_named(tmp_path: Path, store: Path) -> None:
    for kind, file in valid_files(tmp_path).items():
        for other in ("npy", "npz", "pt", "parquet"):
            posing = tmp_path / f"posing.{other}"
            posing.write_bytes(file.read_bytes())
            if other != kind:
                with pytest.raises(StoreError, match=rf"posing\.{other}"):
                    add_member(store, "n", [posing])


@pytest.mark.parametrize("kind", ["pt", "npy", "npz", "bare.pt", "bare.npy", "bare.npz"])
def test_a_pickle_is_refused_and_never_runs(tmp_path: Path, store: Path, kind: str) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    mark, file = tmp_path / "executed", tmp_path / f"hostile.{kind}"
    hostile = np.array([[Touch(mark)]], dtype=object)
    if kind.startswith("bare"):
        file.write_bytes(pickle.dumps(Touch(mark)))
    elif kind == "pt":
        torch.save({"embeddings": Touch(mark), "ids": ["a"]}, file)
    elif kind == "npy":
        np.save(file, hostile, allow_pickle=True)
    else:
        np.savez(file, ids=["a"], embeddings=hostile)
    (tmp_path / "ids.txt").write_text("a\n")
    with pytest.raises(StoreError, match=rf"hostile\.{kind}.*(holds more than tensors|Python obj)"):
        add_member(store, "n", [file])
    assert not mark.exists()


def test_a_pickle_in_place_of_a_stores_array_never_runs(tmp_path: Path, store: Path) -> None:
    mark = tmp_path / "executed"
    hostile = np.array([Touch(mark)] * 4, dtype=object)
    np.save(store / "members/m/rows.npy", hostile, allow_pickle=True)
    np.save(store / "targets.npy", hostile, allow_pickle=True)
    with pytest.raises(StoreError, match=r"rows\.npy cannot be read"):
        Store.open(store).member("m")
    with pytest.raises(StoreError, match=r"targets\.npy cannot be read"):
        Store.open(store).targets()
    assert not mark.exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((4, 3), dtype=np.int64), "of type int64; save them as float16"),
        (np.ones((4, 3), dtype=np.complex64), "of type complex64"),
        (np.array([["x"] * 3] * 4), "of type <U1"),
        (np.ones(4), "vectors of 1 numbers, the store .* of 3"),
        (np.ones(13), "is flat, of 13 numbers, and .* with 4 ids does not divide"),
        (np.ones(0), r"shape \(0,\); save one row of numbers per id"),
        (np.ones((4, 3, 1)), r"shape \(4, 3, 1\)"),
        (np.ones((4, 0)), r"shape \(4, 0\)"),
        (np.ones((4, 2)), "vectors of 2 numbers, the store .* of 3"),
        (np.ones((3, 3)), "4 ids, .* 3 rows"),
        (np.full((4, 3), np.nan), "row 1, id 'a', holds NaN or infinity"),
    ],
)
def test_wrong_types_shapes_and_values_say_what_they_should_be(
    tmp_path: Path, store: Path, array: NDArray[np.generic], message: str
) -> None:
    np.savez(tmp_path / "v.npz", ids=IDS, embeddings=array)
    with pytest.raises(StoreError, match=rf"v\.npz.*{message}"):
        add_member(store, "n", [tmp_path / "v.npz"])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "c", "a"], "row 1 and .*row 4 have the same id 'a'; keep one row"),
        (["a", "b", "c", "e"], "row 4, id 'e': no sample has this id"),
        (["a", "b", "c", ""], "row 4, id '': no sample has this id"),
        ([1.0, 2.0, 3.0, 4.0], "ids are float64"),
        ([["a"], ["b"], ["c"], ["d"]], r"ids are <U1\(4, 1\)"),
    ],
)
def test_wrong_ids_are_named(tmp_path: Path, store: Path, ids: object, message: str) -> None:
    np.savez(tmp_path / "v.npz", ids=np.asarray(ids), embeddings=np.ones((4, 3)))
    with pytest.raises(StoreError, match=rf"v\.npz.*{message}"):
        add_member(store, "n", [tmp_path / "v.npz"])


def test_floating_point_ids_in_parquet_are_refused(tmp_path: Path, store: Path) -> None:
    pq.write_table(pa.table({"id": [1.0, 2.0], "x": [1.0, 2.0]}), tmp_path / "v.parquet")
    with pytest.raises(StoreError, match=r"v\.parquet .*floating-point numbers; write it as text"):
        add_member(store, "n", [tmp_path / "v.parquet"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 2.0, 3.0], [1.0]], "row 2, holds 1 numbers, the first row 3"),
        ([[1.0, 2.0, 3.0], None], "row 2, holds nothing"),
        ([[1.0, 2.0, 3.0], [1.0, None, 3.0]], "row 2, id 'b', holds NaN"),
        ([["x"], ["y"]], r"holds list<\w+: string>; save lists of float16"),
    ],
)
def test_uneven_lists_are_named(
    tmp_path: Path, store: Path, values: list[object], message: str
) -> None:
    pq.write_table(pa.table({"id": ["a", "b"], "v": pa.array(values)}), tmp_path / "v.parquet")
    with pytest.raises(StoreError, match=rf"v\.parquet.*{message}"):
        add_member(store, "n", [tmp_path / "v.parquet"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,x,y,z\na,1,2,three\n", "three"),
        ("id,x,y,z\na,1,,3\n", "row 1, id 'a', holds NaN or infinity"),
        ("id,x,y,z\na,1,1e99,3\n", "row 1, id 'a', holds NaN or infinity|1e99"),
        ("id\na\n", "an id column and nothing else"),
        ("x,y,z\n1,2,3\n", "no id column: its columns are x, y, z"),
        ("a,1,2,3\nb,1,2,3\n", r"is the header line missing\?"),
        ("id,x,x\na,1,2\n", "names the column 'x' twice"),
        (",id,x,y\n0,a,1,2\n", "beside the vectors there are the columns ''; drop them"),
        ("Unnamed: 0,id,x,fold\n0,a,1,2\n", "the columns 'Unnamed: 0', 'fold'; drop them"),
        ("id,Source,x,y\na,web,1,2\n", "the columns 'Source'; drop them"),
        ("id,x,y\na,1,2\n", r"of 2 numbers \(columns 'x' to 'y'\), the store"),
        ("id,w,x,y,z\na,1,2,3,4\n", r"of 4 numbers \(columns 'w' to 'z'\), the store"),
        (
            "id,model,x,y\na,1,2,3\nb,blip,4,5\n",
            "column 'model' holds text, in row 2 'blip'; .*captions need a column caption, text",
        ),
        ("id;x;y;z\na;1;2;3\n", r"is it separated by ;\?"),
        ("id,x,y,z\n", "none of its 0 ids"),
    ],
)
def test_malformed_tables_are_named(tmp_path: Path, store: Path, text: str, message: str) -> None:
    (tmp_path / "v.csv").write_text(text)
    with pytest.raises(StoreError, match=rf"v\.csv.*({message})"):
        add_member(store, "n", [tmp_path / "v.csv"])


def test_text_that_is_not_utf_8_is_named(tmp_path: Path, store: Path) -> None:
    (tmp_path / "v.csv").write_bytes(b"id,x,y,z\n\xff\xfe,1,2,3\n")
    (tmp_path / "ids.txt").write_bytes(b"\x93NUMPY")
    np.save(tmp_path / "v.npy", np.ones((1, 3)))
    with pytest.raises(StoreError, match=r"v\.csv is not text in UTF-8; save it as UTF-8"):
        add_member(store, "n", [tmp_path / "v.csv"])
    with pytest.raises(StoreError, match=r"ids\.txt cannot be read .*; give a text file"):
        add_member(store, "n", [tmp_path / "v.npy"], ids=[tmp_path / "ids.txt"])


@pytest.mark.parametrize("rows", [10**9, 10**18])
def test_a_header_that_claims_more_than_the_file_holds_is_named(
    tmp_path: Path, store: Path, rows: int
) -> None:
    header = io.BytesIO()
    claim = {"descr": "<f4", "fortran_order": False, "shape": (rows, 3)}
    np.lib.format.write_array_header_1_0(header, claim)
    (tmp_path / "v.npy").write_bytes(header.getvalue() + bytes(12))
    with zipfile.ZipFile(tmp_path / "v.npz", "w") as archive:
        archive.writestr("embeddings.npy", header.getvalue() + bytes(12))
    for kind in ("npy", "npz"):
        with pytest.raises(StoreError, match=rf"v\.{kind} cannot be read"):
            add_member(store, "n", [tmp_path / f"v.{kind}"])


@pytest.mark.parametrize(
    "name", ["../m", "..", ".", "", "a/b", "a\\b", ".hidden", "-x", "x" * 101, "a\n", "prior"]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, store: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match=r"cannot name a member: use|is the blend's constant"):
        add_member(store, name, [tmp_path / "m.npz"])
    assert sorted(tmp_path.rglob("*")) == before


def edit_manifest(store: Path, *keys: str | int, value: object) -> None:
    file = store / "manifest.json"
    document = json.loads(file.read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    file.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("samples", "rows"), 10**9, r"samples\.parquet has 4 rows .* says 1000000000"),
        (
            ("members", 0, "rows"),
            10**9,
            r"rows\.npy is int64\(4,\); the manifest says .*1000000000",
        ),
        (("members", 0, "dim"), 10**9, r"member 'm' has 1000000000 numbers per row, the store 3"),
        (("members", 0, "dtype"), "float16", r"embeddings\.npy is float32"),
        (("members", 0, "name"), "../m", r"members\.0\.name: .*'\.\./m' cannot name a member"),
        (("dim",), 2, r"targets\.npy is float32\(4, 3\); the manifest says float32\(4, 2\)"),
        (("version",), 2, r"of version 2; this ensembler reads version 1: upgrade"),
        (("version",), "1", r"of version '1'"),
        (("format",), "zip", r'lacks "format": "ensembler-oof"'),
        (("extra",), 1, r"manifest\.json: no key named 'extra'; known: dim"),
        (("members", 0, "rows"), "4", r"members\.0\.rows: .*integer"),
    ],
)
def test_a_manifest_that_lies_is_found_out(
    store: Path, keys: tuple[str | int, ...], value: object, message: str
) -> None:
    edit_manifest(store, *keys, value=value)
    with pytest.raises(StoreError, match=message):
        read_all(store)


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "samples.parquet",
        "targets.npy",
        "members/m/rows.npy",
        "members/m/embeddings.npy",
    ],
)
@pytest.mark.parametrize("length", [0, 1, 50, -1])
def test_a_store_file_that_was_cut_is_named(store: Path, name: str, length: int) -> None:
    file = store / name
    file.write_bytes(file.read_bytes()[:length])
    if name == "manifest.json" and length == -1:  # only the final newline is gone
        read_all(store)
        return
    with pytest.raises(StoreError, match=rf"{file.name} cannot be read.*restore it") as caught:
        read_all(store)
    assert str(store) in str(caught.value)


def test_cutting_is_refused_before_anything_is_written(tmp_path: Path, store: Path) -> None:
    (store / "samples.parquet").write_bytes(b"PAR1")
    before = sorted(store.rglob("*"))
    with pytest.raises(StoreError, match=r"samples\.parquet cannot be read"):
        add_member(store, "n", [tmp_path / "m.npz"])
    assert sorted(store.rglob("*")) == before


@contextmanager
def unwritable(*folders: Path) -> Iterator[None]:
    """Take away the right to write; root, who needs none, becomes nobody meanwhile."""
    modes = {folder: folder.stat().st_mode for folder in folders}
    for folder in folders:
        folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for folder, mode in modes.items():
            folder.chmod(stat.S_IMODE(mode))


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX rights")
def test_a_read_only_store_is_left_as_it_was_and_says_so(tmp_path: Path, store: Path) -> None:
    # Not below tmp_path, which nobody but its owner may enter.
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        home = folder / "store"
        for file in ("s.csv", "t.npy", "m.npz"):
            (folder / file).write_bytes((tmp_path / file).read_bytes())
        create_store(home, folder / "s.csv", targets=folder / "t.npy")
        add_member(home, "m", [folder / "m.npz"])
        digest = Store.open(home).digest
        with unwritable(folder, home, home / "members", home / "members" / "m"):
            read_all(home)
            with pytest.raises(StoreError, match=r"store cannot be written: .*Permission denied"):
                add_member(home, "n", [folder / "m.npz"])
            with pytest.raises(StoreError, match=r"store cannot be written: .*copy the store to"):
                remove_member(home, "m")
            with pytest.raises(StoreError, match=r"new cannot be written: .*Permission denied"):
                create_store(folder / "new", folder / "s.csv")
        assert Store.open(home).digest == digest
        read_all(home)
    assert Store.open(store).names == ("m",)
