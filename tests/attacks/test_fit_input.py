"""What cannot be fitted: each ends with exit 2, one paragraph, and nothing written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ensembler.store.reader import Store

Make = Callable[..., Any]


class Ran(NamedTuple):
    """What tests/conftest.py gives back from `ensembler(…)`."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def refused(ensembler: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Fit with these arguments, see that it is refused, and give the message."""
    monkeypatch.chdir(tmp_path)

    def fit(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        ran = ensembler("fit", *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert "Traceback" not in ran.err
        assert sorted(tmp_path.rglob("*")) == before
        return ran.err

    return fit


@pytest.fixture
def copied(small: Store, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small.path, tmp_path / "oof"))


def test_a_store_without_targets(
    refused: Callable[..., str], generate: Make, write_store: Make
) -> None:
    data = generate("noise", rows=40, members=2)
    message = refused(write_store(None, data.members, rows=40).path)
    assert "has no targets (a store of test embeddings)" in message
    assert "ensembler store create --targets" in message


def test_a_store_without_members(
    refused: Callable[..., str], generate: Make, write_store: Make
) -> None:
    message = refused(write_store(generate("noise", rows=40).targets, {}).path)
    assert "has no members; add some with `ensembler store add`" in message


def test_two_groups_are_too_few(
    refused: Callable[..., str], generate: Make, write_store: Make
) -> None:
    data = generate("noise", rows=40, members=2)
    store = write_store(data.targets, data.members, groups=["left", "right"] * 20)
    assert "2 groups are too few to hold one out; 3 are needed" in refused(store.path)


def test_a_fold_whose_rows_have_no_weight(
    refused: Callable[..., str], generate: Make, write_store: Make
) -> None:
    data = generate("noise", rows=40, members=2)
    groups = [f"g{row % 4}" for row in range(40)]
    weight = [0.0 if group == "g1" else 1.0 for group in groups]
    store = write_store(data.targets, data.members, groups=groups, weight=weight)
    assert "have no weight, so that holding them out tells nothing" in refused(store.path)


def test_members_that_share_no_row(
    refused: Callable[..., str], generate: Make, write_store: Make
) -> None:
    data = generate("noise", rows=42, members=3)
    for m, vectors in enumerate(data.members.values()):
        vectors[np.arange(42) % 3 != m] = 0.0
    message = refused(write_store(data.targets, data.members).path)
    assert "no row has two of the members m0, m1, m2" in message


@pytest.mark.parametrize("file", ["embeddings.npy", "rows.npy"])
@pytest.mark.parametrize("kept", [0, 60, 500])
def test_a_truncated_member(
    file: str, kept: int, refused: Callable[..., str], copied: Path
) -> None:
    broken = copied / "members" / "m1" / file
    broken.write_bytes(broken.read_bytes()[:kept])
    message = refused(copied)
    assert f"{Path('members') / 'm1' / file} cannot be read" in message
    assert "add the member again" in message


def test_a_member_with_nan(refused: Callable[..., str], copied: Path) -> None:
    file = copied / "members" / "m2" / "embeddings.npy"
    vectors = np.load(file)
    vectors[3, 1] = np.nan
    np.save(file, vectors)
    assert "embeddings.npy holds NaN or infinity" in refused(copied)


def test_something_that_is_not_a_store(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "Error: empty is not an OOF store" in refused("empty")
    assert "Error: there is no folder nowhere; name a store" in refused("nowhere")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--members", "m0,mm1", "members: no member named 'mm1'; did you mean 'm1'?"),
        ("--members", " ,", "Invalid value for '--members': none is named; name some"),
        ("--members", "", "Invalid value for '--members': none is named; name some"),
        ("--study", "defalt", "no study named 'defalt'; did you mean 'default'?"),
        ("--study", "mine.toml", "there is no study file mine.toml"),
        ("--spec", "missing/ensemble.json", "the folder missing does not exist; make it first"),
        ("--spec", "", "'' cannot be a spec's file; name one like ensemble.json"),
        ("--spec", ".", "'.' cannot be a spec's file"),
        ("--spec", "ensemble.journal", "'ensemble.journal' cannot be a spec's file"),
        ("--storage", "nonsense", "the storage 'nonsense' cannot be opened"),
        ("--trials", "0", "Invalid value for '--trials'"),
        ("--seed", "-1", "Invalid value for '--seed'"),
        ("--jobs", "0", "Invalid value for '--jobs'"),
        ("--trails", "5", "No such option"),
    ],
)
def test_an_option_that_cannot_be_used(
    option: str, value: str, message: str, refused: Callable[..., str], small: Store
) -> None:
    assert message in " ".join(refused(small.path, option, value).split())


def test_resuming_nothing(refused: Callable[..., str], small: Store) -> None:
    assert "nothing to resume: neither ensemble.journal.running nor" in refused(
        small.path, "--resume"
    )


def test_a_journal_that_cannot_be_written(
    refused: Callable[..., str], small: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def read_only(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:  # noqa: ANN401 - as Path.open
        if path.name.endswith(".running") and mode != "rb":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, mode, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", read_only)
        message = refused(small.path)
    assert "ensemble.journal.running cannot be written (Permission denied)" in message
    (tmp_path / "ensemble.journal.running").mkdir()
    assert "cannot be written (Is a directory)" in refused(small.path)
