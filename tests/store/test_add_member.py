from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ensembler.errors import StoreError
from ensembler.files import sha256_arrays
from ensembler.store.create import create_store
from ensembler.store.importing import joining
from ensembler.store.model import Origin
from ensembler.store.reader import Store
from ensembler.store.writer import add_member, remove_member

Vectors = NDArray[np.float32]


def npz(path: Path, ids: list[str], vectors: NDArray[np.floating]) -> Path:
    np.savez(path, ids=np.asarray(ids, dtype=np.str_), embeddings=vectors)
    return path


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_rows_are_joined_by_id_however_they_are_dealt_to_files(
    tmp_path: Path, store: Store, vectors: Vectors, data: st.DataObject
) -> None:
    ids = store.samples.id.tolist()
    order = data.draw(st.permutations(range(len(ids))))
    kept = order[: data.draw(st.integers(1, len(ids)))]
    cut = data.draw(st.integers(0, len(kept) - 1))
    parts = [part for part in (kept[:cut], kept[cut:]) if part]
    files = [
        npz(tmp_path / f"part{number}.npz", [ids[row] for row in part], vectors[part])
        for number, part in enumerate(parts)
    ]
    add_member(store.path, "m", files)
    opened = Store.open(store.path)
    naive = {ids[row]: vectors[row].tolist() for row in kept}
    whole = opened.member("m").block(0, len(ids)).tolist()
    assert whole == [naive.get(id_, [0.0] * vectors.shape[1]) for id_ in ids]
    remove_member(store.path, "m")


def test_small_blocks_store_the_same_bytes(
    tmp_path: Path, store: Store, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = npz(tmp_path / "v.npz", store.samples.id[::-1].tolist(), vectors)
    whole = add_member(store.path, "whole", [file]).member.sha256
    monkeypatch.setattr(joining, "BLOCK_NUMBERS", 2 * vectors.shape[1])
    assert add_member(store.path, "blocks", [file]).member.sha256 == whole


def test_records_tell_what_was_stored(tmp_path: Path, store: Store, vectors: Vectors) -> None:
    file = npz(tmp_path / "v.npz", store.samples.id.tolist(), vectors)
    origin = Origin(predictor="tower", config={"size": 336}, seconds_per_image=0.5)
    record = add_member(store.path, "m", [file], dtype="float16", origin=origin).member
    member = Store.open(store.path).member("m")
    assert member.record == record
    assert json.loads((member.path / "member.json").read_text())["sha256"] == record.sha256
    assert record.sha256 == sha256_arrays(member.rows, vectors.astype(np.float16))
    assert record.dtype == "float16"
    assert record.origin.predictor == "tower"
    assert record.origin.config == {"size": 336}
    assert record.origin.files == {"v.npz": hashlib.sha256(file.read_bytes()).hexdigest()}


def test_zero_rows_are_stored_counted_and_absent(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    vectors[[2, 5]] = 0.0
    vectors[7] = 1e-12  # not zero, but it is as float16
    file = npz(tmp_path / "v.npz", store.samples.id.tolist(), vectors)
    report = add_member(store.path, "m", [file])
    half = add_member(store.path, "half", [file], dtype="float16")
    assert (report.member.rows, report.member.zero_rows, report.coverage) == (9, 2, 7 / 9)
    assert (half.member.rows, half.member.zero_rows, half.coverage) == (9, 3, 6 / 9)


def test_unknown_ids_are_refused_naming_the_nearest_and_the_way_out(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    first = npz(tmp_path / "v0.npz", ["007"], vectors[:1])
    second = npz(tmp_path / "v1.npz", ["b", "zebras", "who"], vectors[1:4])
    message = (
        r"v1.npz: row 2, id 'zebras': no sample has this id, nearest sample 'zebra';"
        r" 2 of 4 ids are unknown: correct them, or leave them out with --drop-unknown"
    )
    with pytest.raises(StoreError, match=message):
        add_member(store.path, "m", [first, second])
    report = add_member(store.path, "m", [first, second], drop_unknown=True)
    assert (report.member.rows, report.unknown_dropped) == (2, 2)
    np.testing.assert_array_equal(Store.open(store.path).member("m").embeddings, vectors[[0, 1]])


@pytest.mark.parametrize(
    ("samples", "given", "cause"),
    [
        (["1", "2", "3"], ["1.0", "2.0"], "but for a trailing .0: write the ids as text"),
        (["1.0", "2.0"], ["1", "2"], "but for a trailing .0"),
        (["a1", "b2"], ["a1.png", "b2.JPG"], "but for a file extension: leave it out"),
        (["007", "010"], ["7", "10"], "but for leading zeros: write the ids as text"),
        (["007", "010"], ["7", "x"], None),
    ],
)
def test_what_sets_all_unknown_ids_apart_is_named(
    tmp_path: Path, samples: list[str], given: list[str], cause: str | None
) -> None:
    (tmp_path / "s.csv").write_text("id\n" + "\n".join(samples) + "\n")
    (tmp_path / "v.csv").write_text("id,x,y\n" + "".join(f"{id_},1,2\n" for id_ in given))
    store = create_store(tmp_path / "store", tmp_path / "s.csv").path
    refusals = []
    for drop_unknown in (False, True):
        with pytest.raises(StoreError) as caught:
            add_member(store, "m", [tmp_path / "v.csv"], drop_unknown=drop_unknown)
        refusals.append(str(caught.value))
    with pytest.raises(StoreError) as caught:
        create_store(tmp_path / "new", tmp_path / "s.csv", targets=tmp_path / "v.csv")
    refusals.append(str(caught.value))
    for refusal in refusals:
        assert ("would match" in refusal) == (cause is not None)
        assert (cause or "") in refusal


def test_a_file_of_another_world_is_refused_even_when_unknown_ids_may_go(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    file = npz(tmp_path / "v.npz", ["p", "q"], vectors[:2])
    with pytest.raises(StoreError, match=r"none of its 2 ids is a sample's \('p', 'q' there"):
        add_member(store.path, "m", [file], drop_unknown=True)


def test_an_id_in_two_files_is_refused_naming_both_rows(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    first = npz(tmp_path / "v0.npz", ["007", "b"], vectors[:2])
    second = npz(tmp_path / "v1.npz", ["zebra", "1e5", "b"], vectors[:3])
    with pytest.raises(StoreError) as caught:
        add_member(store.path, "m", [first, second])
    assert "v0.npz: row 2 and" in str(caught.value)
    assert "v1.npz: row 3 have the same id 'b'; keep one row" in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_naming_file_row_and_id(
    tmp_path: Path, store: Store, vectors: Vectors, value: float
) -> None:
    vectors[3, 1] = value
    file = npz(tmp_path / "v.npz", store.samples.id.tolist(), vectors)
    with pytest.raises(StoreError, match=r"v.npz: row 4, id 'a_b_c', holds NaN or infinity"):
        add_member(store.path, "m", [file])
    assert Store.open(store.path).names == ()


@pytest.mark.parametrize(("dtype", "value"), [("float16", 7e4), ("float32", 1e39)])
def test_a_number_too_large_for_the_stored_type_is_refused(
    tmp_path: Path, store: Store, vectors: Vectors, dtype: str, value: float
) -> None:
    wide = vectors.astype(np.float64)
    wide[0, 0] = value
    file = npz(tmp_path / "v.npz", store.samples.id.tolist(), wide)
    message = rf"row 1, id '92e911621', holds a number too large for {dtype}: scale"
    with pytest.raises(StoreError, match=message):
        add_member(store.path, "m", [file], dtype=dtype)  # type: ignore[arg-type] # a str from the table


def test_a_type_that_is_not_stored_is_refused(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    file = npz(tmp_path / "v.npz", store.samples.id.tolist(), vectors)
    with pytest.raises(StoreError, match="'float64' is not stored; known: float16, float32"):
        add_member(store.path, "m", [file], dtype="float64")  # type: ignore[arg-type] # the point


def test_vectors_of_another_dimension_are_refused(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    ids = store.samples.id.tolist()
    narrow = npz(tmp_path / "narrow.npz", ids[:4], vectors[:4, :3])
    usual = npz(tmp_path / "usual.npz", ids[4:], vectors[4:])
    with pytest.raises(StoreError, match=r"narrow.npz holds vectors of 3 numbers, the store"):
        add_member(store.path, "m", [usual, narrow])


def test_the_first_member_gives_a_store_without_targets_its_dimension(
    tmp_path: Path, vectors: Vectors
) -> None:
    (tmp_path / "s.csv").write_text("id\na\nb\n")
    path = create_store(tmp_path / "store", tmp_path / "s.csv").path
    three = npz(tmp_path / "three.npz", ["a"], vectors[:1, :3])
    four = npz(tmp_path / "four.npz", ["b"], vectors[:1])
    with pytest.raises(StoreError, match=r"four.npz holds vectors of 4 numbers, .*three.npz of 3"):
        add_member(path, "both", [three, four])
    add_member(path, "m", [four])
    assert Store.open(path).manifest.dim == 4
    with pytest.raises(StoreError, match="of 3 numbers, the store"):
        add_member(path, "n", [three])
    remove_member(path, "m")
    assert Store.open(path).manifest.dim is None
    add_member(path, "n", [three])
    assert Store.open(path).manifest.dim == 3


def test_a_name_that_is_taken_says_how_to_free_it(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    file = npz(tmp_path / "v.npz", store.samples.id.tolist(), vectors)
    add_member(store.path, "m", [file])
    digest = Store.open(store.path).digest
    with pytest.raises(StoreError, match=r"has a member 'm' already; .*ensembler store remove"):
        add_member(store.path, "m", [file])
    assert Store.open(store.path).digest == digest


def test_ids_must_fit_the_rows(tmp_path: Path, store: Store, vectors: Vectors) -> None:
    np.save(tmp_path / "v.npy", vectors)
    ids = tmp_path / "ids.txt"
    np.save(tmp_path / "w.npy", vectors)
    npy, embedded = tmp_path / "v.npy", npz(tmp_path / "v.npz", ["b"], vectors[:1])
    with pytest.raises(StoreError, match=r"v.npy holds no ids; name them with --ids"):
        add_member(store.path, "m", [npy])
    ids.write_text("007\nb\n")
    with pytest.raises(StoreError, match=r"ids.txt has 2 ids, .*v.npy 9 rows"):
        add_member(store.path, "m", [npy], ids=[ids])
    with pytest.raises(StoreError, match=r"ids.txt has 2 ids, the 2 files 18 rows"):
        add_member(store.path, "m", [npy, tmp_path / "w.npy"], ids=[ids])
    with pytest.raises(StoreError, match=r"2 files of ids for 1 file:"):
        add_member(store.path, "m", [npy], ids=[ids, ids])
    with pytest.raises(StoreError, match=r"v.npz holds its own ids; leave --ids out"):
        add_member(store.path, "m", [embedded], ids=[ids])
    ids.write_text("007\n\nb\n")
    with pytest.raises(StoreError, match=r"ids.txt: line 2 is blank"):
        add_member(store.path, "m", [npy], ids=[ids])


def test_a_file_given_twice_is_refused_by_its_name(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    file = npz(tmp_path / "v.npz", store.samples.id.tolist(), vectors)
    again = tmp_path / "store" / ".." / "v.npz"
    with pytest.raises(StoreError, match=r"store/\.\./v\.npz is given twice; give each file once"):
        add_member(store.path, "m", [file, again])


def test_the_command_offered_for_a_taken_name_quotes_a_path_with_blanks(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    file = npz(tmp_path / "v.npz", store.samples.id.tolist(), vectors)
    folder = store.path.rename(tmp_path / "my store")
    add_member(folder, "m", [file])
    with pytest.raises(StoreError, match=r"`ensembler store remove '[^']*/my store' m`"):
        add_member(folder, "m", [file])


def test_members_keep_the_order_in_which_they_were_added(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    file = npz(tmp_path / "v.npz", store.samples.id.tolist(), vectors)
    for name in ("z", "a", "m"):
        add_member(store.path, name, [file])
    assert Store.open(store.path).names == ("z", "a", "m")
    remove_member(store.path, "a")
    assert Store.open(store.path).names == ("z", "m")
    assert not (store.path / "members" / "a").exists()


def test_removing_an_unknown_member_offers_the_nearest(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    add_member(store.path, "llava", [npz(tmp_path / "v.npz", ["b"], vectors[:1])])
    with pytest.raises(StoreError, match="no member named 'lava'; did you mean 'llava'"):
        remove_member(store.path, "lava")


def test_a_folder_the_manifest_does_not_list_is_replaced(
    tmp_path: Path, store: Store, vectors: Vectors
) -> None:
    leftover = store.path / "members" / "m"
    leftover.mkdir()
    (leftover / "embeddings.npy").write_bytes(b"half of it")
    (leftover / "stale").touch()
    assert Store.open(store.path).names == ()
    add_member(store.path, "m", [npz(tmp_path / "v.npz", ["b"], vectors[:1])])
    assert sorted(file.name for file in leftover.iterdir()) == [
        "embeddings.npy",
        "member.json",
        "rows.npy",
    ]
