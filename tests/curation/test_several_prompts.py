"""An image with several prompts, as COCO's with their five captions each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembler.curation.embedding import embed
from ensembler.curation.embedding_vectors import vectors_of
from ensembler.curation.grouping import join_shared
from ensembler.curation.pairs import read_pairs
from ensembler.errors import InputError

Run = Callable[..., tuple[int, str, str]]

CAPTIONED = [f"img{number % 12:02}" for number in range(60)]  # five prompts for each of 12 images


@pytest.fixture
def captioned(tmp_path: Path) -> Path:
    """60 pairs; the last row says again what the first image's first row says."""
    prompts = [f"prompt {row}" for row in range(59)] + ["prompt 0"]
    lines = [f"{image}\t{prompt}\n" for image, prompt in zip(CAPTIONED, prompts, strict=True)]
    file = tmp_path / "captioned.tsv"
    file.write_text("image\tprompt\n" + "".join(lines))
    return file


def read(path: Path) -> dict[str, list[object]]:
    table: dict[str, list[object]] = pa.concat_tables(read_pairs(path)).to_pydict()
    return table


def naive_groups(group: list[int], keys: list[str]) -> list[set[int]]:
    """Sets of rows, merged while any two share a group or a key."""
    sets = [{row} for row in range(len(group))]
    for marks in (group, keys):
        for mark in set(marks):
            rows = {row for row, own in enumerate(marks) if own == mark}
            met = [one for one in sets if one & rows]
            sets = [one for one in sets if not one & rows] + [set().union(*met)]
    return sets


@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from("abcdefgh")), min_size=1, max_size=25))
def test_rows_that_share_a_group_or_an_image_end_in_one_group(rows: list[tuple[int, str]]) -> None:
    marks, keys = zip(*rows, strict=True)
    group = np.array([marks.index(mark) for mark in marks])  # each group's first row stands for it
    joined = join_shared(group, np.array(keys))
    found = [{row for row, own in enumerate(joined) if own == one} for one in set(joined.tolist())]
    assert sorted(map(sorted, found)) == sorted(map(sorted, naive_groups(group.tolist(), [*keys])))
    assert all(joined[own] == own for own in joined)


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("grouping", ["components", "leaders"])
def test_all_prompts_of_an_image_share_a_fold_and_so_do_equal_prompts(
    ensembler: Run, captioned: Path, tmp_path: Path, grouping: str
) -> None:
    out = tmp_path / "folds.tsv"
    code, said, err = ensembler(
        *("data", "fold", captioned, "--folds", 4, "--threshold", 0.999, "--json"),
        *("--grouping", grouping, "--out", out),
    )
    assert (code, err) == (0, "")
    written = read(out)
    assert written["image"] == CAPTIONED
    pairs = zip(written["image"], written["fold"], strict=True)
    assert len(set(pairs)) == 12
    assert written["fold"][-1] == written["fold"][0]
    document = json.loads(said)
    assert document["groups"] == 11  # img11 has the prompt of img00 as well
    assert document["largest_groups"][0] == 10


@pytest.mark.usefixtures("drawn")
def test_by_prompt_a_pair_goes_that_says_again_what_another_said(
    ensembler: Run, captioned: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deduped.tsv"
    code, said, err = ensembler(
        "data", "dedupe", captioned, "--threshold", 0.999, "--out", out, "--json"
    )
    assert (code, err) == (0, "")
    assert json.loads(said)["kept"] == 59
    assert read(out)["prompt"] == [f"prompt {row}" for row in range(59)]


def test_by_image_an_image_that_stays_keeps_all_its_pairs(
    ensembler: Run, captioned: Path, tmp_path: Path
) -> None:
    ids = [f"img{number:02}" for number in range(12)]
    vectors = np.eye(12, dtype=np.float32)
    vectors[7] = vectors[3] * 2.0  # the same image again, but for its length
    order = np.random.default_rng(0).permutation(12)
    np.savez(tmp_path / "v.npz", ids=np.array(ids)[order], v=vectors[order])
    out = tmp_path / "deduped.tsv"
    code, said, err = ensembler(
        *("data", "dedupe", captioned, "--by", "image", "--vectors", tmp_path / "v.npz"),
        *("--out", out, "--json"),
    )
    assert (code, err) == (0, "")
    assert json.loads(said)["kept"] == 55
    assert read(out)["image"] == [image for image in CAPTIONED if image != "img07"]


@pytest.mark.usefixtures("drawn")
def test_vectors_of_prompts_go_by_the_rows_order_and_no_other(
    captioned: Path, tmp_path: Path
) -> None:
    embed(captioned, tmp_path / "out", shard_rows=16)
    everyone = np.concatenate(
        [np.load(tmp_path / "out" / f"embeddings-{shard:05}.npy") for shard in range(4)]
    )
    ids = np.array(CAPTIONED)
    with vectors_of(tmp_path / "out", ids, tmp_path) as unit:
        np.testing.assert_allclose(unit, everyone, atol=1e-7)
    with (
        pytest.raises(InputError, match=r"several vectors for an image.*embed this very table"),
        vectors_of(tmp_path / "out", ids[::-1], tmp_path),
    ):
        pass
