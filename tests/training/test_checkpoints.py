"""A checkpoint of several files is replaced as one: killed anywhere, it can be written again."""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from predictors.shared.training.checkpoints import checkpoint_files, write_checkpoint
from predictors.shared.weights import StateDict
from tests.disk_changes import before_each_change, in_a_child


class TwoFiles(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A model of two files, one of them in a folder."""

    files: ClassVar[dict[str, str]] = {"mapper": "mapper.txt", "language": "language"}

    def write(self, weights: StateDict, folder: Path) -> None:
        """Write a number twice."""
        (folder / "language").mkdir()
        for name in ("mapper.txt", "language/model.txt"):
            (folder / name).write_text(str(float(weights["number"])))


def numbered(number: float) -> StateDict:
    return {"number": torch.tensor(number)}


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def of(number: float) -> dict[str, str]:
    return {f"best/{name}": str(number) for name in ("mapper.txt", "language/model.txt")}


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    for number in (1.0, 2.0):
        write_checkpoint(TwoFiles(), numbered(number), path)
        assert contents(tmp_path) == of(number)
    assert checkpoint_files(TwoFiles(), path) == {
        "mapper": f"{tmp_path.name}/best/mapper.txt",
        "language": f"{tmp_path.name}/best/language",
    }


def test_one_file_is_of_the_role_weights(tmp_path: Path) -> None:
    model, path = torch.nn.Linear(2, 1), tmp_path / "best.safetensors"
    write_checkpoint(model, model.state_dict(), path)
    assert [one.name for one in tmp_path.iterdir()] == ["best.safetensors"]
    assert checkpoint_files(model, path) == {"weights": f"{tmp_path.name}/best.safetensors"}


def test_killed_at_any_change_it_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    for change in count():
        write_checkpoint(TwoFiles(), numbered(1.0), path)
        left = iter(range(change))

        def die() -> None:
            if next(left, None) is None:  # noqa: B023 - the child ends with this turn
                os.kill(os.getpid(), signal.SIGKILL)

        def write() -> None:
            before_each_change(tmp_path, die)
            write_checkpoint(TwoFiles(), numbered(2.0), path)

        code = in_a_child(write)
        assert code in (0, -signal.SIGKILL)
        whole = {name: one for name, one in contents(tmp_path).items() if name.startswith("best/")}
        assert whole in ({}, of(1.0), of(2.0))
        write_checkpoint(TwoFiles(), numbered(3.0), path)
        assert contents(tmp_path) == of(3.0)
        if code == 0:
            break
    assert change > 8


def test_without_room_the_folder_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.safetensors"
    write_checkpoint(TwoFiles(), numbered(1.0), path)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(TwoFiles, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(TwoFiles(), numbered(2.0), path)
    assert contents(tmp_path) == of(1.0)
