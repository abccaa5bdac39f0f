"""A predictor without checkpoints of folds counts as never having seen the data: a dump says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeStudio = Callable[..., Any]
Run = Callable[..., Any]

SENTENCE = "it counts as never having seen the data"


@pytest.mark.parametrize(
    ("adapter", "files", "folds", "said"),
    [
        ("colours", 'weights = "fold0.npy"', (), True),
        ("colours", "", [(0, "fold0.npy")], False),
        ("neighbours", 'references = "made.npz"', (), False),  # it forgets each fold itself
    ],
)
def test_it_is_said_of_a_predictor_that_left_no_fold_out_only(
    make_studio: MakeStudio,
    ensembler: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    adapter: str,
    files: str,
    folds: list[tuple[int, str]],
    said: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    studio = make_studio([0, 1, 2])
    studio.weights("fold0.npy", 0)
    definition = studio.define(adapter, files, folds)
    ran = ensembler(
        "dump", studio.store, "reds", "--predictor", definition, "--images", studio.images
    )
    assert ran.code == 0
    assert (SENTENCE in ran.out) is said
