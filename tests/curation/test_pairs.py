"""Pair tables: what is written is read, and what is no pair is named."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembler.curation.pairs import pair_columns, read_pairs, write_pairs
from ensembler.errors import EnsemblerError, InputError

PAIRS = pa.table(
    {
        "image": ["92e911621", "1e5", "007"],
        "prompt": ['"a cat', "null", "Straße,  b"],
        "source": ["x", "", "y"],
        "fold": pa.array([0, -1, 9], pa.int64()),
    }
)


def read(path: Path, rows: int = 1 << 16) -> pa.Table:
    return pa.concat_tables(read_pairs(path, rows))


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.parquet"])
def test_what_is_written_is_read_with_ids_as_text(tmp_path: Path, name: str) -> None:
    with write_pairs(tmp_path / name, PAIRS.column_names) as writer:
        writer.write(PAIRS.slice(0, 2))
        writer.write(PAIRS.slice(2))
    assert pair_columns(tmp_path / name) == ("image", "prompt", "source", "fold")
    assert read(tmp_path / name).equals(PAIRS)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
def test_any_prompt_comes_back_from_csv_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    prompts = [f"p{text}q" for text in texts]
    pairs = pa.table({"image": [str(row) for row in range(len(prompts))], "prompt": prompts})
    path = tmp_path_factory.mktemp("any") / "pairs.csv"
    with write_pairs(path, pairs.column_names) as writer:
        writer.write(pairs)
    assert read(path).equals(pairs)


def test_a_tsv_of_image_prompt_and_fold_needs_no_header(tmp_path: Path) -> None:
    rows = 'a.png\t"two words\t3\nb.png\tb\t-1\n'
    bare, headed = tmp_path / "bare.tsv", tmp_path / "headed.tsv"
    bare.write_text(rows)
    headed.write_text("image\tprompt\tfold\n" + rows)
    assert read(bare).to_pydict() == {
        "image": ["a.png", "b.png"],
        "prompt": ['"two words', "b"],
        "fold": [3, -1],
    }
    assert read(bare).equals(read(headed))


def test_blocks_have_the_rows_asked_for_whatever_the_file_is_stored_in(tmp_path: Path) -> None:
    pairs = pa.table({"imgId": [str(row) for row in range(10)], "prompt": ["p"] * 10})
    pq.write_table(pairs, tmp_path / "p.parquet", row_group_size=3)
    blocks = list(read_pairs(tmp_path / "p.parquet", 4))
    assert [len(block) for block in blocks] == [4, 4, 2]
    assert pa.concat_tables(blocks)["image"].to_pylist() == pairs["imgId"].to_pylist()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("image,promt\na,b\n", "no column named 'prompt'; did you mean 'promt'?"),
        ("picture,prompt\na,b\n", "no column named 'image'"),
        ("id,image,prompt\na,b,c\n", "the columns image and id; keep one as image"),
        ("id,prompt\na,b\nc, \n", r"row 2 \(image 'c'\) has no prompt"),
        ("id,prompt\n,b\n", "row 1 has no image"),
        ("id,prompt\n", "has no pairs"),
        (
            "id,prompt,fold\na,b,\nc,d,one\n",
            "row 2 has 'one' in its column 'fold', which is not a whole",
        ),
        ("id,prompt,fold\na,b, 1\nc,d,1.5\n", "row 2 has '1.5' in its column 'fold'"),
        ("", "cannot be read as a table"),
    ],
)
def test_a_table_that_holds_no_pairs_is_refused_with_what_is_wrong(
    tmp_path: Path, content: str, sentence: str
) -> None:
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(EnsemblerError, match=sentence):
        read(tmp_path / "p.csv")


def test_a_row_is_counted_through_all_blocks(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,prompt\na,b\nc,d\ne,f\ng,\n")
    with pytest.raises(InputError, match=r"row 4 \(image 'g'\) has no prompt"):
        read(tmp_path / "p.csv", 2)


def test_a_missing_file_and_one_of_another_kind_are_named(tmp_path: Path) -> None:
    with pytest.raises(EnsemblerError, match=r"there is no file .*none\.tsv"):
        read(tmp_path / "none.tsv")
    with pytest.raises(InputError, match=r"notes\.txt is not a table of pairs; give one of \.csv"):
        read(tmp_path / "notes.txt")
    with (
        pytest.raises(InputError, match=r"pairs are written as one of \.csv"),
        write_pairs(tmp_path / "p.json", ["image"]),
    ):
        pass


def test_a_tsv_refuses_a_prompt_with_a_tab_and_leaves_no_file(tmp_path: Path) -> None:
    pairs = pa.table({"image": ["a", "b"], "prompt": ["fine", "a\ttab"]})
    with (
        pytest.raises(InputError, match="image 'b' has a cell with a tab or a line break"),
        write_pairs(tmp_path / "p.tsv", pairs.column_names) as writer,
    ):
        writer.write(pairs)
    assert not list(tmp_path.iterdir())
