"""A kill at any file operation leaves the old store or the new one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ensembler.store.create import create_store
from ensembler.store.reader import Store
from ensembler.store.writer import add_member, remove_member

SCRIPT = Path(__file__).with_name("kill_at_every_step.py")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def contents(path: Path) -> dict[str, object] | None:
    """All that a reader can see of a store; None where there is none."""
    if not path.exists():
        return None
    store = Store.open(path)
    samples = store.samples
    seen: dict[str, object] = {
        "digest": store.digest,
        "names": store.names,
        "id": samples.id.tolist(),
        "fold": samples.fold.tolist(),
        "group": samples.group.tolist(),
        "targets": store.targets().tolist(),
    }
    for member in store.members():
        seen[member.name] = (member.rows.tolist(), member.embeddings.tolist())
    return seen


def killed_copies(work: Path, command: str) -> list[Path]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, SCRIPT, work, command], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    copies = [folder for folder in work.iterdir() if folder.name != "base"]
    return sorted(copies, key=lambda folder: int(folder.name))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder with the inputs of every command, and a store with one member."""
    folder = tmp_path / "base"
    folder.mkdir()
    rng = np.random.default_rng(0)
    (folder / "s.csv").write_text("id,group\n" + "".join(f"i{n},g{n % 3}\n" for n in range(6)))
    np.save(folder / "t.npy", rng.normal(size=(6, 3)))
    for name in ("early", "late"):
        ids = [f"i{n}" for n in range(6)]
        np.savez(folder / f"{name}.npz", ids=ids, embeddings=rng.normal(size=(6, 3)))
    create_store(folder / "store", folder / "s.csv", targets=folder / "t.npy")
    add_member(folder / "store", "early", [folder / "early.npz"])
    return folder


@pytest.mark.parametrize(
    ("command", "path", "least_steps"),
    [("create", "new", 10), ("add", "store", 12), ("remove", "store", 5)],
)
def test_a_kill_at_any_operation_leaves_the_old_store_or_the_new_one(
    tmp_path: Path, base: Path, command: str, path: str, least_steps: int
) -> None:
    old = contents(base / path)
    copies = killed_copies(tmp_path, command)
    new = contents(copies[-1] / path)
    assert new != old
    assert len(copies) > least_steps
    outcomes = [contents(folder / path) for folder in copies]
    assert all(outcome in (old, new) for outcome in outcomes)
    switch = outcomes.index(new)
    assert switch > 0
    assert all(outcome == new for outcome in outcomes[switch:])
    for folder in copies[:switch]:
        if command == "create":
            create_store(folder / "new", folder / "s.csv", targets=folder / "t.npy")
        elif command == "add":
            add_member(folder / "store", "late", [folder / "late.npz"])
        else:
            remove_member(folder / "store", "early")
        assert contents(folder / path) == new
        assert not list(folder.rglob("*.partial"))


def test_a_kill_while_removing_leaves_no_obstacle_to_adding_again(
    tmp_path: Path, base: Path
) -> None:
    before = contents(base / "store")
    for folder in killed_copies(tmp_path, "remove"):
        if "early" not in Store.open(folder / "store").names:
            add_member(folder / "store", "early", [folder / "early.npz"])
        assert contents(folder / "store") == before
