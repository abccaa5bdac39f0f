"""A predictor's definition: for a misspelling, the right name is offered."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembler.errors import PredictorError
from ensembler.predicting.definition import load_definition

HEAD = 'adapter = "colours"\n[[checkpoints]]\nweights = "0.npy"\n'


def test_a_mistyped_fold_is_answered_with_the_key(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(f"{HEAD}folds = 0\n")
    with pytest.raises(PredictorError, match=r"checkpoints\.0: .*'folds'; did you mean 'fold'\?"):
        load_definition(tmp_path / "a.toml")


def test_a_checkpoint_without_a_fold_is_refused_with_the_key_to_add(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(HEAD)
    with pytest.raises(PredictorError, match=r"checkpoints\.0: lacks the key fold: the fold whose"):
        load_definition(tmp_path / "a.toml")


def test_a_mistyped_path_is_answered_with_the_nearest_file(tmp_path: Path) -> None:
    (tmp_path / "colours.toml").write_text(HEAD)
    with pytest.raises(PredictorError, match=r"did you mean 'colours\.toml'\?"):
        load_definition(tmp_path / "colour.toml")
    with pytest.raises(PredictorError, match="known: none"):
        load_definition(tmp_path / "nowhere" / "colours.toml")
