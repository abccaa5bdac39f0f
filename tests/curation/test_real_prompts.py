"""Real users' prompts, through the encoder that is installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ensembler.curation.embedding_vectors import vectors_of
from ensembler.curation.pairs import read_pairs, write_pairs

PROMPTS = Path(__file__).parents[3] / "shared" / "data" / "prompts" / "diffusiondb_15k.csv"
ROWS = 96

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.skipif(not PROMPTS.exists(), reason="needs ../shared")
def test_prompts_said_twice_are_kept_once_and_no_near_ones_are_in_two_folds(
    ensembler: Run, tmp_path: Path
) -> None:
    first = next(read_pairs(PROMPTS, ROWS))
    again = pa.table(
        {
            "image": [f"again-{row}" for row in range(8)],
            "prompt": [f"{prompt.upper()}!" for prompt in first["prompt"][:8].to_pylist()],
        }
    )
    pairs, targets = tmp_path / "pairs.csv", tmp_path / "targets"
    with write_pairs(pairs, first.column_names) as writer:
        writer.write(first)
        writer.write(again)
    assert ensembler("data", "embed", pairs, "--out", targets, "--shard-rows", 40)[0] == 0

    deduped = tmp_path / "deduped.tsv"
    given = ("--vectors", targets, "--json")
    assert ensembler("data", "dedupe", pairs, *given, "--out", deduped)[0] == 0
    images = pa.concat_tables(read_pairs(deduped))["image"].to_pylist()
    assert images == [image for image in first["image"].to_pylist() if image in images]
    assert len(images) > 0.9 * ROWS

    folds = tmp_path / "folds.tsv"
    code, said, _ = ensembler("data", "fold", pairs, *given, "--folds", 5, "--out", folds)
    assert code == 0
    dealt = pa.concat_tables(read_pairs(folds))
    fold = np.array(dealt["fold"].to_pylist())
    with vectors_of(targets, np.array(dealt["image"].to_pylist()), tmp_path) as unit:
        across = np.where(fold[:, None] == fold[None], -1.0, unit @ unit.T)
    assert json.loads(said)["across_folds"]["largest"] == pytest.approx(across.max(), abs=1e-6)
    assert across.max() < 0.7
    np.testing.assert_array_equal(fold[ROWS:], fold[:8])
