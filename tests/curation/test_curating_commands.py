"""`ensembler data import`, `filter` and `resize`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa
import pytest

from ensembler.curation.pairs import read_pairs

Run = Callable[..., tuple[int, str, str]]
PROMPT = "a red car on a beach at sunset"


def read(path: Path) -> pa.Table:
    return pa.concat_tables(read_pairs(path))


@pytest.fixture
def folder(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """Images with one table: one of them is black, one is missing, one has no prompt."""
    folder = tmp_path / "beach"
    write_image(folder / "a.png")
    write_image(folder / "b.png", colour=(0, 0, 0))
    (folder / "metadata.csv").write_text(
        f"file_name,text\na.png,{PROMPT}\nb.png,{PROMPT}\nc.png,{PROMPT}\nd.png,\n"
    )
    return folder


@pytest.fixture
def fifth(tmp_path: Path) -> Path:
    """A table of the 5th place's form, with a pair whose image is missing."""
    file = tmp_path / "train.tsv"
    file.write_text(f"a.png\t{PROMPT}\t3\nc.png\t{PROMPT}\t1\n")
    return file


def test_the_commands_work_on_what_the_one_before_wrote(
    ensembler: Run, folder: Path, tmp_path: Path
) -> None:
    pairs, kept, shards = tmp_path / "pairs.tsv", tmp_path / "kept.csv", tmp_path / "shards"
    assert ensembler("data", "import", folder, "--out", pairs) == (
        4,
        f"{pairs}: 2 pairs, read as folder\n",
        "Warning: pairs left out: 1 with no image, 1 with no prompt.\n",
    )
    code, out, err = ensembler(
        "data", "filter", pairs, "--images", folder, "--blank", "--language", "en", "--out", kept
    )
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["dropped", "for", "pairs", "share"],
        ["─" * len(out.splitlines()[1])],
        ["another", "language", "0", "0.00%"],
        ["unreadable", "image", "0", "0.00%"],
        ["blank", "image", "1", "50.00%"],
        [],
        [f"{kept}:", "1", "of", "2", "pairs"],
    ]
    command = ("data", "resize", kept, "--images", folder, "--size", 8, "--size", 16)
    assert ensembler(*command, "--out", shards) == (
        0,
        f"{shards}: 1 pairs in 1 shard of size 8, 16\n",
        "",
    )
    carried = {"image": ["a.png"], "prompt": [PROMPT], "fold": [-1]}
    assert read(shards / "pairs.tsv").to_pydict() == carried
    code, out, _ = ensembler(*command, "--out", shards)
    assert (code, out.splitlines()[1]) == (0, "  1 had been made before an interruption")


def test_json_is_one_object_with_every_reason(
    ensembler: Run, folder: Path, fifth: Path, tmp_path: Path
) -> None:
    pairs, kept, shards = tmp_path / "pairs.tsv", tmp_path / "kept.tsv", tmp_path / "shards"
    code, out, _ = ensembler("data", "import", folder, "--out", pairs, "--json")
    assert (code, json.loads(out)) == (
        4,
        {
            "table": str(pairs),
            "format": "folder",
            "pairs": 2,
            "dropped": {"no image": 1, "no prompt": 1},
        },
    )
    code, out, err = ensembler(
        *("data", "filter", fifth, "--images", folder, "--max-words", 9, "--out", kept, "--json")
    )
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "table": str(kept),
        "pairs": 2,
        "kept": 1,
        "dropped": {"too many words": 0, "unreadable image": 1},
        "resumed": 0,
    }
    code, out, err = ensembler(
        *("data", "resize", fifth, "--images", folder, "--size", 8, "--out", shards, "--json")
    )
    assert code == 4
    assert json.loads(out) == {
        "out": str(shards),
        "pairs": 2,
        "written": 1,
        "failed": 1,
        "shards": 1,
        "resumed": 0,
        "failures": str(shards / "failures.csv"),
    }
    assert err == (
        "Warning: pairs without a readable image: 1;"
        f" {shards / 'failures.csv'} gives the reasons.\n"
    )


def test_the_fifth_places_form_keeps_its_folds_through_every_command(
    ensembler: Run, folder: Path, fifth: Path, tmp_path: Path
) -> None:
    pairs, kept, shards = tmp_path / "pairs.tsv", tmp_path / "kept.parquet", tmp_path / "shards"
    ensembler("data", "import", fifth, "--out", pairs)
    assert read(pairs)["fold"].to_pylist() == [3, 1]
    ensembler("data", "filter", fifth, "--min-words", 2, "--out", kept)
    assert read(kept)["fold"].to_pylist() == [3, 1]
    ensembler("data", "resize", fifth, "--images", folder, "--size", 8, "--out", shards)
    assert read(shards / "pairs.tsv")["fold"].to_pylist() == [3]


def test_banned_words_come_from_a_file(ensembler: Run, fifth: Path, tmp_path: Path) -> None:
    (tmp_path / "banned.txt").write_text("nude\nRED car\n")
    code, _, err = ensembler(
        *("data", "filter", fifth, "--banned", tmp_path / "banned.txt"),
        *("--out", tmp_path / "kept.tsv"),
    )
    assert code == 2
    assert "none of the 2 pairs" in err
    assert "(banned word: 2); relax the rules" in err


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        ("import", ("--format", "cocos"), "'cocos' is not one of"),
        ("import", ("--image-column", "imag"), "no column named 'imag'; did you mean 'image'?"),
        ("filter", (), "no rule was given"),
        ("filter", ("--language", "english"), "no language named 'english'"),
        ("filter", ("--blank",), "need the folder of the images"),
        ("filter", ("--banned", "none.txt"), "cannot be read as a list of words"),
        ("resize", ("--size", "8", "--images", "none"), "there is no folder of images"),
        ("resize", ("--size", "0", "--images", "."), "is not in the range x>=1"),
        ("resize", ("--images", "."), "Missing option '--size'"),
    ],
)
def test_options_that_cannot_be_met_end_with_2(
    ensembler: Run,
    fifth: Path,
    tmp_path: Path,
    command: str,
    options: tuple[str, ...],
    sentence: str,
) -> None:
    code, out, err = ensembler("data", command, fifth, "--out", tmp_path / "out.tsv", *options)
    assert (code, out) == (2, "")
    assert sentence in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "out.tsv").exists()


@pytest.mark.parametrize("command", ["filter", "resize"])
def test_a_misspelt_prompt_column_is_told_with_the_nearest_one(
    ensembler: Run, folder: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "p.csv").write_text("image,promt\na.png,b\n")
    options = {"filter": ("--min-words", 2), "resize": ("--images", folder, "--size", 8)}
    code, _, err = ensembler(
        *("data", command, tmp_path / "p.csv", *options[command], "--out", tmp_path / "o.tsv")
    )
    assert code == 2
    assert "no column named 'prompt'; did you mean 'promt'?" in err


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize(
    ("told", "options"),
    [
        (1, ("filter", "--images", "beach", "--out", "kept.tsv")),
        (1, ("resize", "--images", "beach", "--size", 8, "--shard-rows", 1, "--out", "shards")),
        (2, ("embed", "--shard-rows", 1, "--out", "targets")),
    ],
)
def test_a_command_that_a_scheduler_ends_exits_130_and_goes_on(
    told: int,
    options: tuple[object, ...],
    ensembler: Run,
    folder: Path,
    fifth: Path,
    monkeypatch: pytest.MonkeyPatch,
    sigterm_at: Callable[[int], AbstractContextManager[None]],
) -> None:
    monkeypatch.chdir(folder.parent)
    command = ("data", options[0], fifth, *options[1:])
    with sigterm_at(told):
        code, out, err = ensembler(*command)
    assert (code, out) == (130, "")
    assert err.strip() == "Interrupted. The same command goes on where this one stopped."
    code, out, _ = ensembler(*command, "--json")
    assert code in {0, 4}  # 4: an image is missing
    assert json.loads(out)["resumed"] > 0
