"""What a training begins with is named by its role, or is all that another training left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ensembler.errors import InputError, PredictorError
from ensembler.predicting.registry import find_adapter
from ensembler.training import run
from ensembler.training.initial_weights import Given, initial_files


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """`begin(name, given, fold)`; the folder has a, b and a folder c."""
    for name in "ab":
        (tmp_path / name).touch()
    (tmp_path / "c").mkdir()

    def found(name: str, given: Given, fold: int = 0) -> dict[str, Path]:
        return initial_files(name, find_adapter(name), given, fold)

    return found


@pytest.mark.parametrize(
    ("name", "role"), [("tower", "weights"), ("coca", "weights"), ("blip", "model")]
)
def test_a_path_alone_is_of_the_only_role_that_it_can_be(
    begin: Callable[..., dict[str, Path]], tmp_path: Path, name: str, role: str
) -> None:
    assert begin(name, tmp_path / "a") == {role: tmp_path / "a"}


def test_several_files_are_told_apart_by_their_roles(
    begin: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    given = {"tower": tmp_path / "a", "language": tmp_path / "c"}
    assert begin("clip_gpt2", given) == given
    assert begin("clip_gpt2", None) == {}


@pytest.mark.parametrize(
    ("name", "given", "error", "said"),
    [
        ("clip_gpt2", "a", PredictorError, "name the role, as in tower=FILE"),
        ("clip_gpt2", {"towr": "a"}, PredictorError, "did you mean 'tower'?"),
        ("coca", {"encoder": "a"}, PredictorError, "known: architecture, weights"),
        ("clip_gpt2", {"tower": "d"}, InputError, "the role 'tower' to begin with is missing: "),
        ("tower", "d", InputError, "the role 'weights' to begin with is missing: "),
    ],
)
def test_what_cannot_be_begun_with_is_refused(
    begin: Callable[..., dict[str, Path]],
    tmp_path: Path,
    name: str,
    given: Any,  # noqa: ANN401 - a path or several
    error: type[Exception],
    said: str,
) -> None:
    paths = given if isinstance(given, dict) else {"": given}
    below = {role: tmp_path / path for role, path in paths.items()}
    with pytest.raises(error) as refused:
        begin(name, below if isinstance(given, dict) else below[""])
    assert said in str(refused.value)


def test_another_trainings_folder_gives_all_files_of_the_same_fold(
    begin: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    (tmp_path / "c/predictor.toml").write_text(
        'adapter = "style_metric"\n[[checkpoints]]\nfold = 2\nstyle = "s"\nweights = "fold2/w"\n'
    )
    for path in ("s", "fold2/w"):
        (tmp_path / "c" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "c" / path).touch()
    out = tmp_path / "c"
    assert begin("style_metric", out, 2) == {"style": out / "s", "weights": out / "fold2/w"}
    with pytest.raises(InputError, match=r"no weights .*fold0 .*finished the folds 2"):
        begin("style_metric", out, 0)
    with pytest.raises(PredictorError, match="trained a 'style_metric', not a 'tower'"):
        begin("tower", out, 2)


@pytest.mark.parametrize(
    ("given", "begun_with"),
    [
        ([], None),
        (["x/a.pt"], Path("x/a.pt")),
        (["./a=b"], Path("a=b")),
        (["tower=a=b", "language=c"], {"tower": Path("a=b"), "language": Path("c")}),
        (["a", "language=c"], "each role once"),
        (["tower=a", "tower=b"], "each role once"),
    ],
)
def test_the_command_takes_a_path_or_one_for_each_role(
    ensembler: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
    begun_with: object,
) -> None:
    asked: list[object] = []

    def stand_in(*_: object, weights: object, **__: object) -> None:
        asked.append(weights)
        raise InputError("enough")

    monkeypatch.setattr(run, "train", stand_in)
    words = ["train", "x", "--recipe", "r", "--data", "d", "--images", "i", "--fold", "0"]
    words += ["--out", "o", *(word for one in given for word in ("--weights", one))]
    done = ensembler(*words)
    assert done.code == 2
    if isinstance(begun_with, str):
        assert begun_with in done.err
        assert not asked
    else:
        assert asked == [begun_with]
