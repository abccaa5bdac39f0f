"""`ensembler data embed`, `dedupe` and `fold`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from ensembler.curation import deduplicating, neighbours_choice
from ensembler.curation.grouping import find_components
from ensembler.curation.pairs import read_pairs

if TYPE_CHECKING:
    from tests.curation.conftest import Drawn

Run = Callable[..., tuple[int, str, str]]
Vectors = NDArray[np.float32]
Write = Callable[[Vectors], tuple[Path, Path]]


def read(path: Path) -> pa.Table:
    return pa.concat_tables(read_pairs(path))


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """Six pairs of the 5th place's form, of four prompts."""
    file = tmp_path / "pairs.tsv"
    file.write_text("a\tone\t0\nb\ttwo\t1\nc\tone\t0\nd\tthree\t0\ne\ttwo\t1\nf\tfour\t1\n")
    return file


@pytest.mark.usefixtures("drawn")
def test_prompts_become_targets_that_the_other_commands_take(
    ensembler: Run, twins: Path, tmp_path: Path
) -> None:
    out = tmp_path / "targets"
    assert ensembler("data", "embed", twins, "--out", out) == (
        0,
        f"{out}: 6 prompts, 6 dimensions, drawn; shards: 1\n",
        "",
    )
    code, said, err = ensembler("data", "embed", twins, "--out", out, "--json")
    assert (code, err) == (0, "")
    assert json.loads(said)["resumed"] == 6
    again = ensembler("data", "embed", twins, "--out", out)
    assert again[1].splitlines()[1:] == ["  nothing to do: an earlier run had finished"]
    deduped = tmp_path / "deduped.csv"
    code, said, err = ensembler("data", "dedupe", twins, "--vectors", out, "--out", deduped)
    assert (code, err) == (0, "")
    assert said.startswith(f"{deduped}: 4 of 6 pairs; 2 near-duplicates by prompt left out")
    assert read(deduped).to_pydict() == {
        "image": ["a", "b", "d", "f"],
        "prompt": ["one", "two", "three", "four"],
        "fold": [0, 1, 0, 1],
    }


@pytest.mark.usefixtures("drawn")
def test_without_vectors_the_prompts_are_embedded_and_nothing_else_is_left(
    ensembler: Run, twins: Path, tmp_path: Path
) -> None:
    code, said, err = ensembler("data", "dedupe", twins, "--out", tmp_path / "d.tsv", "--json")
    assert (code, err) == (0, "")
    document = json.loads(said)
    assert (document["rows"], document["kept"], document["recall"]) == (6, 4, None)
    assert {path.name for path in tmp_path.iterdir()} == {"pairs.tsv", "d.tsv"}


def test_folds_never_part_a_group_and_the_report_is_that_of_the_table_written(
    ensembler: Run, clustered: Callable[..., Vectors], write_pairs_of: Write, tmp_path: Path
) -> None:
    vectors = clustered(200, noise=0.5)
    pairs, file = write_pairs_of(vectors)
    out = tmp_path / "folds.tsv"
    code, said, err = ensembler(
        *("data", "fold", pairs, "--vectors", file, "--threshold", 0.8, "--folds", 4),
        *("--out", out, "--json"),
    )
    assert (code, err) == (0, "")
    document, written = json.loads(said), read(out)
    fold = np.array(written["fold"].to_pylist())
    group = find_components(vectors, 0.8)
    assert written["image"].to_pylist() == [f"{row:03}" for row in range(200)]
    assert len(set(zip(group.tolist(), fold.tolist(), strict=True))) == document["groups"]
    assert document["groups"] == len(set(group.tolist()))
    assert document["folds"] == np.bincount(fold).tolist()
    assert document["largest_groups"][0] == np.bincount(group).max()
    assert document["across_folds"]["near"] == 0.0
    across = vectors[fold == 0].astype(np.float64) @ vectors[fold != 0].T.astype(np.float64)
    assert across.max() <= document["across_folds"]["largest"] < 0.8


def test_leaders_break_a_chain_that_components_warn_of(
    ensembler: Run, write_pairs_of: Write, tmp_path: Path
) -> None:
    angle = np.arange(30) * 0.2
    pairs, file = write_pairs_of(np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32))
    command = ("data", "fold", pairs, "--vectors", file, "--threshold", 0.95, "--folds", 3)
    code, out, err = ensembler(*command, "--out", tmp_path / "f.csv")
    assert (code, out) == (2, "")
    assert "30 rows make 1 groups, too few for 3 folds" in err
    code, out, err = ensembler(*command, "--out", tmp_path / "f.csv", "--grouping", "leaders")
    assert (code, err) == (0, "")
    assert "30 pairs in 15 groups, 3 folds" in out
    assert "have a pair of cosine 0.95 or more" in out


def test_a_group_larger_than_a_folds_share_is_warned_of(
    ensembler: Run, write_pairs_of: Write, tmp_path: Path
) -> None:
    vectors = np.eye(8, dtype=np.float32)[[0] * 10 + list(range(1, 8))]
    pairs, file = write_pairs_of(vectors)
    code, out, err = ensembler(
        "data", "fold", pairs, "--vectors", file, "--folds", 3, "--out", tmp_path / "f.csv"
    )
    assert code == 0
    assert "groups: 7 of one pair; the largest have 10, 1, 1, 1, 1" in out
    assert "Warning: the largest group has 10 of 17 pairs" in err


def test_above_the_exact_limit_the_measured_recall_is_printed(
    ensembler: Run,
    clustered: Callable[..., Vectors],
    write_pairs_of: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (neighbours_choice, deduplicating):
        monkeypatch.setattr(module, "EXACT_ROWS", 100)
    pairs, file = write_pairs_of(clustered(400))
    code, out, err = ensembler(
        "data", "dedupe", pairs, "--vectors", file, "--by", "image", "--out", tmp_path / "d.csv"
    )
    assert (code, err) == (0, "")
    assert "approximate search: it found 100.00% of the near-duplicates" in out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--by", "image"), "give them, by image id, with --vectors"),
        (("--vectors", "v.npy", "--encoder", "e"), "drop one of the two"),
        (("--threshold", "1"), "is not in the range 0<x<1"),
        (("--vectors", "none.npy"), "there is no file"),
    ],
)
def test_options_that_do_not_go_together_end_with_2(
    ensembler: Run, twins: Path, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    code, out, err = ensembler("data", "dedupe", twins, "--out", tmp_path / "d.csv", *options)
    assert (code, out) == (2, "")
    assert sentence in " ".join(err.replace("│", " ").split())


def test_an_output_that_cannot_be_written_is_refused_before_a_prompt_is_embedded(
    ensembler: Run, drawn: Drawn, twins: Path, tmp_path: Path
) -> None:
    for out in (tmp_path / "d.json", tmp_path / "none" / "d.csv"):
        assert ensembler("data", "dedupe", twins, "--out", out)[:2] == (2, "")
    assert drawn.encoded == []


def test_many_rows_without_faiss_end_with_2_and_what_installs_it(
    ensembler: Run,
    clustered: Callable[..., Vectors],
    write_pairs_of: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours_choice, "EXACT_ROWS", 10)
    monkeypatch.setitem(sys.modules, "faiss", None)
    pairs, file = write_pairs_of(clustered(20))
    code, _, err = ensembler(
        "data", "dedupe", pairs, "--vectors", file, "--out", tmp_path / "d.csv"
    )
    assert code == 2
    assert "pip install 'oof-ensembler[curation]'" in err


def test_a_misspelt_prompt_column_ends_with_2_and_the_nearest_one(
    ensembler: Run, tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_text("image,promt\na,b\n")
    code, _, err = ensembler("data", "embed", tmp_path / "p.csv", "--out", tmp_path / "t")
    assert code == 2
    assert "no column named 'prompt'; did you mean 'promt'?" in err
    assert not (tmp_path / "t").exists()
