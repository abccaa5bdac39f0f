"""What is trained on: grouped by prompt, whatever the tables' order, and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ensembler.errors import EnsemblerError, InputError
from ensembler.training.data import TrainingData, load_data

ROWS = ["a0.png\ta\t0", "a1.png\ta\t0", "b.png\tb\t1", "c.png\tc\t-1"]
Load = Callable[..., TrainingData]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """`load(rows, …)`: tables of lines, all of whose usual images are there."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a0.png", "a1.png", "b.png", "c.png"):
        (images / name).touch()

    def read(*tables: Iterable[str], suffix: str = ".tsv") -> TrainingData:
        paths = [tmp_path / f"{number}{suffix}" for number in range(len(tables))]
        for path, rows in zip(paths, tables, strict=True):
            path.write_text("\n".join(rows) + "\n")
        return load_data(paths, images)

    return read


def test_prompts_have_their_images_and_fold(load: Load) -> None:
    data = load(ROWS)
    assert data.known_folds == [0, 1]
    assert data.held_out(0).images == [("a0.png", "a1.png")]
    assert data.without(0).keys == ["b", "c"]
    assert data.without(0).rows.tolist() == [1, 2]


def test_neither_order_nor_files_nor_twins_matter(load: Load) -> None:
    data = load(ROWS)
    for other in (load(reversed(ROWS)), load(ROWS[2:], ROWS[:2]), load([*ROWS, ROWS[0]])):
        assert other.digest == data.digest
        assert other.without(1).images == data.without(1).images


def test_a_fold_that_changes_changes_the_digest(load: Load) -> None:
    assert load([*ROWS[:3], "c.png\tc\t1"]).digest != load(ROWS).digest


def test_an_image_may_be_named_by_its_id(load: Load) -> None:
    rows = ["imgId,prompt,fold", *(row.replace(".png", "").replace("\t", ",") for row in ROWS)]
    assert load(rows, suffix=".csv").digest == load(ROWS).digest


def test_an_image_in_a_folder_may_be_named_without_its_suffix(load: Load, tmp_path: Path) -> None:
    load(ROWS)
    (tmp_path / "images/part").mkdir()
    (tmp_path / "images/part/d.png").touch()
    data = load(["part/d\td\t0"])
    assert data.held_out(0).images == [("part/d.png",)]


def test_a_table_without_folds_has_none_to_hold_out(load: Load) -> None:
    data = load(["image\tprompt", "b.png\tb"])
    with pytest.raises(InputError, match="the data has no folds: it needs a column fold"):
        data.check_fold(0)


def test_an_unknown_fold_is_told_the_known_ones(load: Load) -> None:
    with pytest.raises(InputError, match=r"no prompt is in fold 7.*the data has folds 0, 1"):
        load(ROWS).check_fold(7)


def test_a_fold_that_is_everything_leaves_nothing_to_learn_from(load: Load) -> None:
    with pytest.raises(InputError, match="every prompt is in fold 0"):
        load(ROWS[:2]).check_fold(0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([*ROWS, "c.png\ta\t1"], "the prompt 'a' is in folds 0, 1"),
        ([*ROWS, "b.png\tsaid otherwise\t7"], "the image 'b.png' is in folds"),
        (["image\tpromt\tfold", *ROWS], "did you mean 'promt'?"),
        (["image\tfold", "b.png\t0"], "no column named 'prompt'"),
        (["b.png\t \t0"], "has no prompt"),
        (["d.png\td\t0", "e.png\te\t0", ROWS[0]], "2 of 3 images are not in"),
        (["../b.png\tb\t0"], "must lie below"),
        (["image\tprompt\tfold"], "has no pairs"),
    ],
)
def test_what_is_wrong_with_the_pairs_is_said(load: Load, rows: list[str], said: str) -> None:
    with pytest.raises(EnsemblerError) as refused:
        load(rows)
    assert said in str(refused.value)


def test_an_image_that_is_missing_is_placed_in_its_table(load: Load, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="are not in") as refused:
        load(ROWS, ["image\tprompt", "b.png\tb2", "gone\tz"])
    assert f"gone ({tmp_path / '1.tsv'}, row 2: it is not there)" in str(refused.value)
    assert f"`ensembler data filter --images {tmp_path / 'images'}`" in str(refused.value)


def test_a_folder_that_is_none_is_named(load: Load, tmp_path: Path) -> None:
    load(ROWS)
    with pytest.raises(InputError, match="no folder of images"):
        load_data([tmp_path / "0.tsv"], tmp_path / "nowhere")
