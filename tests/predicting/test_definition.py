"""A predictor's definition: what is mistyped is answered with what was meant."""

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


def test_a_checkpoint_of_no_fold_is_told_how_to_name_it(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(HEAD)
    with pytest.raises(PredictorError, match=r"checkpoints\.0: names no fold; fold = 0 says"):
        load_definition(tmp_path / "a.toml")


def test_a_mistyped_path_is_answered_with_the_nearest_file(tmp_path: Path) -> None:
    (tmp_path / "colours.toml").write_text(HEAD)
    with pytest.raises(PredictorError, match=r"did you mean 'colours\.toml'\?"):
        load_definition(tmp_path / "colour.toml")
    with pytest.raises(PredictorError, match="known: none"):
        load_definition(tmp_path / "nowhere" / "colours.toml")
