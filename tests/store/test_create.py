from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ensembler.errors import InputError, StoreError
from ensembler.store.create import create_store
from ensembler.store.reader import Store


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def naive_unit(rows: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> list[list[float]]:
    return [[value / sum(v * v for v in row) ** 0.5 for value in row] for row in rows.tolist()]


def test_samples_keep_their_order_and_ids_stay_text(tmp_path: Path) -> None:
    table = write(tmp_path / "s.csv", "imgId\n92e911621\n007\n1e5\nTrue\nnan\nNA\n")
    store = create_store(tmp_path / "store", table)
    assert store.samples.id.tolist() == ["92e911621", "007", "1e5", "True", "nan", "NA"]


def test_what_data_fold_writes_is_taken_with_its_images_as_ids(tmp_path: Path) -> None:
    text = "image,prompt,fold\nb,two,1\na,one,0\n"
    made = create_store(tmp_path / "oof", write(tmp_path / "pairs.csv", text))
    assert made.samples.id.tolist() == ["b", "a"]
    assert not made.samples.further
    bare = write(tmp_path / "bare.tsv", "b\ttwo\t1\na\tone\t0\n")
    assert create_store(tmp_path / "of_tsv", bare).digest == made.digest


def test_beside_an_id_an_image_is_a_further_column(tmp_path: Path) -> None:
    text = "image,id\nb.png,7\na.png,8\n"
    made = create_store(tmp_path / "oof", write(tmp_path / "samples.csv", text))
    assert made.samples.id.tolist() == ["7", "8"]
    assert list(made.samples.further) == ["image"]


def test_a_store_without_targets_and_prompts_is_one_for_test_embeddings(tmp_path: Path) -> None:
    store = create_store(tmp_path / "store", write(tmp_path / "s.csv", "id\na\nb\n"))
    assert store.manifest.dim is None
    assert store.manifest.targets is None
    assert not (store.path / "targets.npy").exists()
    assert store.samples.fold.tolist() == [-1, -1]
    assert store.samples.group.tolist() == ["a", "b"]
    assert store.samples.source.tolist() == ["", ""]
    assert store.samples.prompt is None
    assert store.manifest.samples.columns == ("id", "fold", "group", "source")


def test_every_given_column_arrives(tmp_path: Path) -> None:
    text = 'id,weight,source,group,fold,prompt,width\na,2,s,g,1,"one, two",9\nb,0.5,t,h,,x,9\n'
    np.save(tmp_path / "t.npy", np.eye(2))
    store = create_store(
        tmp_path / "store", write(tmp_path / "s.csv", text), targets=tmp_path / "t.npy"
    )
    samples = store.samples
    assert samples.weight.tolist() == [2.0, 0.5]
    assert samples.source.tolist() == ["s", "t"]
    assert samples.group.tolist() == ["g", "h"]
    assert samples.fold.tolist() == [1, -1]
    assert samples.prompt is not None
    assert samples.prompt.tolist() == ["one, two", "x"]
    assert samples.further["width"].tolist() == ["9", "9"]
    ours = ("id", "fold", "group", "source", "prompt", "weight")
    assert store.manifest.samples.columns == (*ours, "width")


def test_further_columns_are_kept_as_the_text_they_are_written_as(tmp_path: Path) -> None:
    text = "id,seed,sampler,cfg\na,007,,1e5\nb,,euler,nan\n"
    store = create_store(tmp_path / "store", write(tmp_path / "s.csv", text))
    found = {name: column.tolist() for name, column in store.samples.further.items()}
    assert found == {"seed": ["007", ""], "sampler": ["", "euler"], "cfg": ["1e5", "nan"]}


def test_further_columns_of_parquet_come_as_text_without_lists_and_bytes(tmp_path: Path) -> None:
    table = {
        "id": ["a", "b"],
        "steps": pa.array([20, None], pa.int16()),
        "cfg": [7.5, 0.125],
        "safe": [True, False],
        "sampler": pa.array(["euler", "ddim"]).dictionary_encode(),
        "tags": [["x"], ["y"]],
        "image": [b"\x89PNG", b""],
        "": ["an", "index"],
    }
    pq.write_table(pa.table(table), tmp_path / "s.parquet")
    samples = create_store(tmp_path / "store", tmp_path / "s.parquet").samples
    assert {name: column.tolist() for name, column in samples.further.items()} == {
        "steps": ["20", ""],
        "cfg": ["7.5", "0.125"],
        "safe": ["true", "false"],
        "sampler": ["euler", "ddim"],
    }


def test_columns_too_many_to_describe_anything_are_vectors_and_left_out(tmp_path: Path) -> None:
    names = [f"e{number}" for number in range(101)]
    rows = [",".join(["id", *names]), ",".join(["a", *("0.5" for _ in names)])]
    store = create_store(tmp_path / "store", write(tmp_path / "s.csv", "\n".join(rows) + "\n"))
    assert not store.samples.further


def test_where_no_texts_are_kept_no_further_columns_are(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.eye(2))
    table = write(tmp_path / "s.csv", "id,prompt,negative,weight\na,x,blurry,1\nb,y,,2\n")
    store = create_store(tmp_path / "store", table, targets=tmp_path / "t.npy", keep_texts=False)
    assert store.manifest.samples.columns == ("id", "fold", "group", "source", "weight")


def test_a_store_with_a_changed_further_column_has_another_digest(tmp_path: Path) -> None:
    digests = {
        create_store(tmp_path / seed, write(tmp_path / "s.csv", f"id,seed\na,{seed}\n")).digest
        for seed in ("1", "2")
    }
    assert len(digests) == 2


def test_prompts_are_left_out_when_texts_are_not_kept(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.eye(2))
    table = write(tmp_path / "s.csv", "id,prompt\na,secret words\nb,y\n")
    store = create_store(tmp_path / "store", table, targets=tmp_path / "t.npy", keep_texts=False)
    assert store.samples.prompt is None
    assert not any(b"secret" in f.read_bytes() for f in store.path.rglob("*") if f.is_file())


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_csv_tsv_and_parquet_make_the_same_store(tmp_path: Path, suffix: str) -> None:
    rows = [("1", "a plain text", "2"), ("2", 'quo"ted', "0"), ("3", "comma, here", "1")]
    file = tmp_path / f"s.{suffix}"
    if suffix == "csv":
        with file.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([("id", "source", "fold"), *rows])
    elif suffix == "tsv":
        write(file, "\n".join("\t".join(row) for row in [("id", "source", "fold"), *rows]) + "\n")
    else:
        ids, sources, folds = zip(*rows, strict=True)
        columns = {
            "id": [int(i) for i in ids],
            "source": sources,
            "fold": [float(f) for f in folds],
        }
        pq.write_table(pa.table(columns), file)
    samples = create_store(tmp_path / "store", file).samples
    found = zip(samples.id.tolist(), samples.source.tolist(), samples.fold.tolist(), strict=True)
    assert list(found) == [(id_, source, int(fold)) for id_, source, fold in rows]


def test_line_breaks_inside_quotes_are_part_of_the_text(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.eye(2))
    table = write(tmp_path / "s.csv", 'id,prompt\na,"two\nlines, and ""quotes"""\nb,y\n')
    store = create_store(tmp_path / "store", table, targets=tmp_path / "t.npy")
    assert store.samples.prompt is not None
    assert store.samples.prompt.tolist() == ['two\nlines, and "quotes"', "y"]


def test_each_distinct_prompt_is_a_group_named_after_its_first_sample(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.eye(4))
    table = write(tmp_path / "s.csv", "id,prompt\na,cat\nb,dog\nc,cat\nd,Cat\n")
    store = create_store(tmp_path / "store", table, targets=tmp_path / "t.npy", folds=3)
    assert store.samples.group.tolist() == ["a", "b", "a", "d"]


def test_dealt_folds_never_split_a_group_and_do_not_depend_on_the_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [(f"i{number}", f"g{rng.integers(12)}") for number in range(60)]
    np.save(tmp_path / "t.npy", np.ones((60, 3)))
    fold_of_id: list[dict[str, int]] = []
    for order in (range(60), rng.permutation(60)):
        lines = "id,group\n" + "".join(f"{rows[i][0]},{rows[i][1]}\n" for i in order)
        folder = tmp_path / f"store{len(fold_of_id)}"
        table = write(tmp_path / "s.csv", lines)
        samples = create_store(folder, table, targets=tmp_path / "t.npy", folds=4).samples
        fold_of_id.append(dict(zip(samples.id.tolist(), samples.fold.tolist(), strict=True)))
        pairs = set(zip(samples.group.tolist(), samples.fold.tolist(), strict=True))
        assert len(pairs) == len(set(samples.group.tolist()))
        assert set(samples.fold.tolist()) == {0, 1, 2, 3}
    assert fold_of_id[0] == fold_of_id[1]


def test_targets_are_scaled_to_unit_length_float32(tmp_path: Path) -> None:
    targets = np.random.default_rng(2).normal(size=(5, 7)) * [[1e-30], [1e30], [1], [3], [1e-3]]
    np.save(tmp_path / "t.npy", targets)
    table = write(tmp_path / "s.csv", "id\n" + "\n".join("abcde") + "\n")
    store = create_store(tmp_path / "store", table, targets=tmp_path / "t.npy")
    stored = store.targets()
    assert stored.dtype == np.float32
    np.testing.assert_allclose(stored, naive_unit(targets), rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["npy", "parquet", "long", "csv"])
def test_targets_with_ids_are_joined_by_id(tmp_path: Path, kind: str) -> None:
    ids = ["a_1", "b", "c"]
    targets = np.random.default_rng(3).normal(size=(3, 2))
    order = [0, 1, 2] if kind == "npy" else [2, 0, 1]
    shuffled = targets[order]
    names = [ids[i] for i in order]
    if kind == "npy":
        np.save(tmp_path / "t.npy", shuffled)
    elif kind == "parquet":
        pq.write_table(pa.table({"id": names, "v": shuffled.tolist()}), tmp_path / "t.parquet")
    elif kind == "csv":
        lines = [
            f"{n},{float(x)!r},{float(y)!r}" for n, (x, y) in zip(names, shuffled, strict=True)
        ]
        write(tmp_path / "t.csv", "id,x,y\n" + "\n".join(lines))
    else:
        cells = [(n, k, shuffled[row, k]) for row, n in enumerate(names) for k in (1, 0)]
        write(
            tmp_path / "t.csv", "imgId_eId,val\n" + "".join(f"{n}_{k},{v}\n" for n, k, v in cells)
        )
    file = next(tmp_path.glob("t.*"))
    table = write(tmp_path / "s.csv", "id\n" + "\n".join(ids) + "\n")
    store = create_store(tmp_path / "store", table, targets=file)
    np.testing.assert_allclose(store.targets(), naive_unit(targets), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,Group\na,g\n", "no column is named 'Group'; did you mean 'group'"),
        ("id,folds\na,1\n", "did you mean 'fold'"),
        ("name,fold\na,1\n", "no id column: its columns are name, fold; name one id or imgId"),
        ("id,imgId\na,a\n", "both an id and an imgId column; keep one"),
        ("id,id\na,a\n", "names the column 'id' twice"),
        ("id\na\nb\na\n", r"the id 'a' comes more than once \(rows 1 and 3\)"),
        ("id\na\nb\na\nb\n", r"2 ids come more than once \(a, b; the first in rows 1 and 3\)"),
        ("id;fold\na;0\n", r"one column, 'id;fold': is it separated by ;\? .* by commas"),
        ("id\tfold\na\t0\n", r"is it separated by tabs\?"),
        ("id,fold\na,0\n,1\n", "row 2 has an empty id"),
        ("id,fold\na,0\nb,0.5\n", "row 2, id 'b', has a fold that is not -1, 0, 1"),
        ("id,fold\na,-2\n", "row 1, id 'a', has a fold"),
        ("id,weight\na,1\nb,-1\n", "row 2, id 'b', has a weight that is missing, negative"),
        ("id,weight\na,1\nb,\n", "row 2, id 'b', has a weight that is missing"),
        ("id,weight\na,0\nb,0\n", "every weight is 0"),
        ("id,weight\na,heavy\n", "heavy"),
        ("id,group\na,g\nb,\n", "row 2, id 'b', has no group"),
        ("id\n", "has no rows"),
        ("", "cannot be read as a table"),
    ],
)
def test_bad_samples_are_refused_with_place_and_remedy(
    tmp_path: Path, text: str, message: str
) -> None:
    table = write(tmp_path / "s.csv", text)
    with pytest.raises(StoreError, match=message) as caught:
        create_store(tmp_path / "store", table)
    assert str(table) in str(caught.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.array([[1.0, 0], [0, 0]]), "target of id 'b' is zero"),
        (
            np.array([[1.0, 0], [np.nan, 0]]),
            "row 2, id 'b', holds NaN or infinity: correct it, or leave",
        ),
        (np.eye(3), "has 3 rows for 2 samples"),
        (np.eye(2, dtype=np.int64), "of type int64"),
    ],
)
def test_bad_targets_are_refused_with_place_and_remedy(
    tmp_path: Path, targets: np.ndarray[tuple[int, int], np.dtype[np.float64]], message: str
) -> None:
    np.save(tmp_path / "t.npy", targets)
    table = write(tmp_path / "s.csv", "id\na\nb\n")
    with pytest.raises(StoreError, match=message):
        create_store(tmp_path / "store", table, targets=tmp_path / "t.npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.csv", "t.npy"]


def test_targets_must_be_of_exactly_the_samples(tmp_path: Path) -> None:
    table = write(tmp_path / "s.csv", "id\na\nb\n")
    few = write(tmp_path / "few.csv", "id,x\na,1\n")
    many = write(tmp_path / "many.csv", "id,x\na,1\nb,1\nstranger,1\n")
    with pytest.raises(StoreError, match="lacks the targets of 1 samples: b"):
        create_store(tmp_path / "store", table, targets=few)
    with pytest.raises(StoreError, match="1 ids that no sample has: 'stranger'"):
        create_store(tmp_path / "store", table, targets=many)


def test_an_encoder_without_prompts_to_encode_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.eye(2))
    bare = write(tmp_path / "bare.csv", "id\na\nb\n")
    prompts = write(tmp_path / "prompts.csv", "id,prompt\na,one\nb,two\n")
    with pytest.raises(InputError, match=r"but .*bare\.csv has no column prompt; leave it out"):
        create_store(tmp_path / "store", bare, encoder=tmp_path)
    with pytest.raises(InputError, match="but the targets are given; leave it out"):
        create_store(tmp_path / "store", prompts, targets=tmp_path / "t.npy", encoder=tmp_path)
    assert not (tmp_path / "store").exists()


def test_an_existing_store_is_never_overwritten(tmp_path: Path) -> None:
    table = write(tmp_path / "s.csv", "id\na\n")
    store = create_store(tmp_path / "store", table)
    with pytest.raises(StoreError, match="exists and is not empty; name another folder"):
        create_store(tmp_path / "store", table)
    assert Store.open(tmp_path / "store").digest == store.digest


def test_an_empty_folder_becomes_the_store(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = create_store(tmp_path / "store", write(tmp_path / "s.csv", "id\na\n"))
    assert store.samples.id.tolist() == ["a"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id\na\n", "a store without targets needs none"),
        ("id,prompt,fold\na,x,0\n", "the samples have a column fold"),
    ],
)
def test_a_number_of_folds_is_refused_where_none_are_dealt(
    tmp_path: Path, text: str, reason: str
) -> None:
    table = write(tmp_path / "s.csv", text)
    with pytest.raises(InputError, match=f"no folds are dealt, for {reason}; leave"):
        create_store(tmp_path / "store", table, folds=3)
    assert not (tmp_path / "store").exists()
