"""What is trained on: grouped by prompt, whatever the tables' order, and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from ensembler.errors import EnsemblerError, InputError
from ensembler.training.data import Examples, TrainingData, load_data

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


def listed(examples: Examples) -> dict[str, list[str]]:
    """The images of each prompt."""
    return {examples.prompt(row): examples.images(row) for row in range(len(examples))}


def test_prompts_have_their_images_and_fold(load: Load) -> None:
    data = load(ROWS)
    assert data.known_folds == [0, 1]
    assert listed(data.held_out(0)) == {"a": ["a0.png", "a1.png"]}
    assert listed(data.without(0)) == {"b": ["b.png"], "c": ["c.png"]}
    assert data.without(0).rows.tolist() == [1, 2]


def test_neither_order_nor_files_nor_twins_matter(load: Load) -> None:
    data = load(ROWS)
    for other in (load(reversed(ROWS)), load(ROWS[2:], ROWS[:2]), load([*ROWS, ROWS[0]])):
        assert other.digest == data.digest
        assert listed(other.without(1)) == listed(data.without(1))


def test_any_pairs_are_grouped_as_a_loop_would(load: Load) -> None:
    rng = np.random.default_rng(0)
    images = ["a0.png", "a1.png", "b.png", "c.png"]
    pairs = [(images[rng.integers(4)], f"née {prompt}") for prompt in rng.integers(0, 9, 60)]
    by_prompt: dict[str, set[str]] = {}
    for image, prompt in pairs:
        by_prompt.setdefault(prompt, set()).add(image)
    data = load([f"{image}\t{prompt}\t3" for image, prompt in pairs])
    assert listed(data.held_out(3)) == {one: sorted(by_prompt[one]) for one in sorted(by_prompt)}


@pytest.mark.parametrize(
    "rows",
    [
        [*ROWS[:3], "c.png\tc\t1"],
        ["a0.png\ta\t0", "a1.png\tb\t0", "b.png\tb\t0", "c.png\tc\t-1"],
        [row.replace("\tc", "\tbc").replace("\tb\t", "\t\u00e9\t") for row in ROWS],
        ROWS[:3],
    ],
    ids=["fold", "image of another prompt", "prompts", "fewer"],
)
def test_what_is_other_data_has_another_digest(load: Load, rows: list[str]) -> None:
    assert load(rows).digest != load(ROWS).digest


def test_the_digest_that_folders_were_begun_with_stays_the_same(load: Load) -> None:
    written = b"".join(
        number.to_bytes(8, "little", signed=True) for number in (0, 1, -1, 0, 2, 3, 4)
    )
    for texts in (["a", "b", "é"], ["a0.png", "a1.png", "b.png", "c.png"]):
        coded = [text.encode() for text in texts]
        written += b"".join(len(text).to_bytes(8, "little") for text in coded) + b"".join(coded)
    data = load([*ROWS[:3], ROWS[3].replace("\tc", "\té")])
    assert data.digest == hashlib.sha256(written).hexdigest()


def test_an_image_may_be_named_by_its_id(load: Load) -> None:
    rows = ["imgId,prompt,fold", *(row.replace(".png", "").replace("\t", ",") for row in ROWS)]
    assert load(rows, suffix=".csv").digest == load(ROWS).digest


def test_an_image_in_a_folder_may_be_named_without_its_suffix(load: Load, tmp_path: Path) -> None:
    load(ROWS)
    (tmp_path / "images/part").mkdir()
    (tmp_path / "images/part/d.png").touch()
    data = load(["part/d\td\t0"])
    assert listed(data.held_out(0)) == {"d": ["part/d.png"]}


def test_a_table_without_folds_has_none_to_hold_out(load: Load) -> None:
    data = load(["image\tprompt", "b.png\tb"])
    with pytest.raises(InputError, match="the data has no folds: add a column fold"):
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
