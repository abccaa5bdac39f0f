"""Pairs as they come become one table; the real formats, small."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ensembler.curation import importing_coco
from ensembler.curation.importing import Format, Imported, guess_format, import_pairs
from ensembler.curation.importing_tables import Named
from ensembler.curation.pairs import read_pairs
from ensembler.errors import EnsemblerError, InputError

SHARED = Path(__file__).parents[3] / "shared" / "data"

# As in captions_val2017.json, whose other keys and order these keep.
COCO = {
    "info": {"description": "COCO 2017 Dataset", "version": "1.0"},
    "licenses": [{"id": 1, "name": "Attribution", "url": "http://example.org"}],
    "images": [
        {"license": 4, "file_name": "000000397133.jpg", "height": 427, "id": 397133},
        {"license": 1, "file_name": "000000037777.jpg", "height": 230, "id": 37777},
    ],
    "annotations": [
        {"image_id": 37777, "id": 38, "caption": "The dining table near the kitchen\n"},
        {"image_id": 397133, "id": 49, "caption": "A man is in a kitchen making pizzas."},
        {"image_id": 37777, "id": 89, "caption": "A kitchen has  small windows."},
    ],
}
# As in metadata.parquet, whose other columns are left alone.
DIFFUSIONDB = pa.table(
    {
        "image_name": ["3bfcd9cf.png", "f1a9c1a6.png", None, "7f0a.png"],
        "prompt": ["a cat,\nby rutkowski", "null", "no image", " "],
        "part_id": pa.array([1, 2000, 3, 4], pa.uint16()),
        "seed": pa.array([1, 2, 3, 4], pa.uint32()),
        "cfg": pa.array([7.0, 7.5, 7.0, 7.0], pa.float32()),
    }
)


def read(path: Path) -> dict[str, list[object]]:
    found: dict[str, list[object]] = pa.concat_tables(read_pairs(path)).to_pydict()
    return found


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    file = tmp_path / "captions.json"
    file.write_text(json.dumps(COCO))
    return file


def test_every_caption_of_coco_is_a_pair_with_its_images_file(coco: Path, tmp_path: Path) -> None:
    imported = import_pairs(coco, tmp_path / "pairs.tsv")
    assert imported == Imported(format=Format.COCO, pairs=3, dropped={})
    assert read(tmp_path / "pairs.tsv") == {
        "image": ["000000037777.jpg", "000000397133.jpg", "000000037777.jpg"],
        "prompt": [
            "The dining table near the kitchen",
            "A man is in a kitchen making pizzas.",
            "A kitchen has small windows.",
        ],
        "source": ["coco"] * 3,
    }


def test_coco_is_read_in_blocks_and_wherever_its_images_stand(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, turned = tmp_path / "whole.csv", tmp_path / "turned.csv"
    import_pairs(coco, whole)
    monkeypatch.setattr(importing_coco, "ROWS", 2)
    coco.write_text(json.dumps(dict(reversed(COCO.items()))))
    import_pairs(coco, turned)
    assert whole.read_bytes() == turned.read_bytes()


def test_diffusiondb_names_the_part_in_an_images_path_and_counts_what_it_leaves_out(
    tmp_path: Path,
) -> None:
    pq.write_table(DIFFUSIONDB, tmp_path / "metadata.parquet")
    out = tmp_path / "pairs.parquet"
    imported = import_pairs(tmp_path / "metadata.parquet", out)
    assert imported.format == Format.DIFFUSIONDB
    assert imported.dropped == {"no image": 1, "no prompt": 1}
    assert read(out) == {
        "image": ["part-000001/3bfcd9cf.png", "part-002000/f1a9c1a6.png"],
        "prompt": ["a cat, by rutkowski", "null"],
        "source": ["diffusiondb"] * 2,
    }


def test_a_folder_gives_the_pairs_of_its_table_whose_image_is_there(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    folder = tmp_path / "flowers"
    write_image(folder / "train" / "a.png")
    write_image(folder / "b.JPG")
    (folder / "metadata.csv").write_text("file_name,text\ntrain/a.png,a rose\nb,tulip\nc.png,x\n")
    imported = import_pairs(folder, tmp_path / "pairs.csv")
    assert imported == Imported(format=Format.FOLDER, pairs=2, dropped={"no image": 1})
    assert read(tmp_path / "pairs.csv") == {
        "image": ["train/a.png", "b"],
        "prompt": ["a rose", "tulip"],
        "source": ["flowers"] * 2,
    }


def test_the_fifth_places_table_keeps_its_folds_and_the_source_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text('a.png\t"cat\t0\n1e5\tdog\t-1\n')
    import_pairs(tmp_path / "train.tsv", tmp_path / "pairs.tsv")
    found = read(tmp_path / "pairs.tsv")
    assert found["image"] == ["a.png", "1e5"]
    assert (found["fold"], found["source"]) == ([0, -1], ["train"] * 2)
    import_pairs(tmp_path / "pairs.tsv", tmp_path / "again.tsv")
    assert (tmp_path / "again.tsv").read_bytes() == (tmp_path / "pairs.tsv").read_bytes()
    import_pairs(tmp_path / "pairs.tsv", tmp_path / "named.tsv", origin="fifth")
    assert read(tmp_path / "named.tsv")["source"] == ["fifth"] * 2


def test_the_competitions_prompts_come_with_their_ids_as_text(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("needs ../shared")
    imported = import_pairs(SHARED / "competition_sample" / "prompts.csv", tmp_path / "p.tsv")
    assert (imported.format, imported.pairs, imported.dropped) == (Format.TABLE, 7, {})
    assert "92e911621" in read(tmp_path / "p.tsv")["image"]


def test_columns_of_other_names_are_named_by_the_user(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,picture,prompt,caption\n1,a.png,b,c\n")
    with pytest.raises(InputError, match=r"several columns of prompts .prompt, caption."):
        import_pairs(tmp_path / "p.csv", tmp_path / "o.csv")
    named = Named(image="picture", prompt="caption")
    import_pairs(tmp_path / "p.csv", tmp_path / "o.csv", named=named)
    assert read(tmp_path / "o.csv")["image"] == ["a.png"]
    with pytest.raises(InputError, match="no column named 'pictur'; did you mean 'picture'"):
        import_pairs(tmp_path / "p.csv", tmp_path / "o.csv", named=Named(image="pictur"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is not a complete JSON file .*at its start"),
        ("[1, 2]", "has no list 'images'"),
        ('{"images": []}', "has no list 'images', or an empty one; captions are of the form"),
        ('{"images": [{"id": 1, "file_name": "a"}]}', "has no list 'annotations'"),
        ('{"images": [{"id": 1}]}', r"entry 1 of its images \(id 1\) has no 'file_name'"),
        (
            '{"images": [{"id": 1, "file_name": 2}]}',
            r"entry 1 of its images \(id 1\) has no 'file_name'",
        ),
        (json.dumps(COCO)[:-40], "is not a complete JSON file .*after entry 2 of its images"),
        (
            json.dumps(COCO).replace('"image_id": 397133', '"image_id": 9'),
            r"entry 2 of its annotations \(id 49\) is of image_id 9",
        ),
        (
            json.dumps(COCO).replace('"image_id": 397133, "id": 49', '"image_id": 9'),
            "entry 2 of its annotations is of image_id 9",
        ),
    ],
)
def test_what_is_not_cocos_form_is_refused_with_the_place_and_leaves_no_table(
    tmp_path: Path, content: str, sentence: str
) -> None:
    file = tmp_path / "captions.json"
    file.write_text(content)
    with pytest.raises(InputError, match=sentence):
        import_pairs(file, tmp_path / "pairs.tsv")
    assert [path.name for path in tmp_path.iterdir()] == ["captions.json"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.csv", None, "there is no file or folder"),
        ("pairs.txt", "a b", "its name does not show its format; set --format to one of coco"),
        ("p.csv", "imgId,seed\na,1\n", "no column 'prompt'.*name one with --prompt-column"),
        ("p.csv", "prompt\na\n", "no column 'image'.*name one with --image-column"),
        ("p.csv", "id,prompt\n", "has no pairs .no rows.; nothing was written"),
        ("p.csv", "id,prompt\na,\nb, \n", "has no pairs .no prompt: 2.; nothing was written"),
        ("p.csv", "id,prompt,fold\na,b,one\n", "row 1 has 'one' in its column 'fold'"),
    ],
)
def test_a_source_without_pairs_is_refused_and_leaves_no_table(
    tmp_path: Path, name: str, content: str | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(EnsemblerError, match=sentence):
        import_pairs(tmp_path / name, tmp_path / "out.tsv")
    assert not (tmp_path / "out.tsv").exists()


def test_a_format_that_does_not_fit_says_what_it_would_have(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("image_nam,prompt,part_id\na,b,1\n")
    with pytest.raises(InputError, match="'image_name'; did you mean 'image_nam'"):
        import_pairs(tmp_path / "p.csv", tmp_path / "o.tsv", format=Format.DIFFUSIONDB)
    with pytest.raises(InputError, match="is not a folder of images"):
        import_pairs(tmp_path / "p.csv", tmp_path / "o.tsv", format=Format.FOLDER)
    with pytest.raises(InputError, match="whose columns have fixed names"):
        import_pairs(
            *(tmp_path / "p.csv", tmp_path / "o.tsv"), format=Format.COCO, named=Named(image="a")
        )
    (tmp_path / "q.csv").write_text("")
    with pytest.raises(InputError, match=r"it has p\.csv, q\.csv: give .*/p\.csv itself, or"):
        import_pairs(tmp_path, tmp_path / "o.tsv")
    assert guess_format(tmp_path) == Format.FOLDER


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.parquet"])
def test_a_full_disk_is_told_and_the_older_table_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "p.csv").write_text("id,prompt\na,b\n")
    import_pairs(tmp_path / "p.csv", tmp_path / name)
    older = (tmp_path / name).read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot be written .No space left on device.; make room"):
        import_pairs(tmp_path / "p.csv", tmp_path / name, origin="new")
    assert (tmp_path / name).read_bytes() == older
    assert {path.name for path in tmp_path.iterdir()} == {"p.csv", name}
