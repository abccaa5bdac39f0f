from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.errors import StoreError
from ensembler.store.commit import exclusive
from ensembler.store.reader import Store
from ensembler.store.writer import add_member

ROOT = Path(__file__).parents[2]


def test_adds_at_once_do_not_lose_one_another(
    tmp_path: Path, store: Store, vectors: NDArray[np.float32]
) -> None:
    np.savez(tmp_path / "v.npz", ids=store.samples.id, embeddings=vectors)
    program = (
        "import sys; from ensembler.store.writer import add_member\n"
        "add_member(sys.argv[1], sys.argv[2], sys.argv[3:])"
    )
    adds = [
        subprocess.Popen(
            [sys.executable, "-c", program, store.path, f"m{number}", tmp_path / "v.npz"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for number in range(4)
    ]
    assert [add.wait() for add in adds] == [0, 0, 0, 0]
    assert sorted(Store.open(store.path).names) == ["m0", "m1", "m2", "m3"]


def test_a_writer_locks_out_any_other_until_it_is_done(store: Store) -> None:
    fcntl = pytest.importorskip("fcntl", reason="needs a system with flock")
    descriptor = os.open(store.path, os.O_RDONLY)
    try:
        with exclusive(store.path), pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def test_a_member_added_meanwhile_is_seen_inside_the_lock(
    tmp_path: Path, store: Store, vectors: NDArray[np.float32]
) -> None:
    np.savez(tmp_path / "v.npz", ids=store.samples.id, embeddings=vectors)
    stale = Store.open(store.path)
    add_member(store.path, "m", [tmp_path / "v.npz"])
    with exclusive(stale.path) as current:
        assert stale.names == ()
        assert current.names == ("m",)


def test_a_folder_without_a_store_is_not_locked(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no folder"), exclusive(tmp_path / "nothing"):
        pass


def test_a_failing_disk_leaves_the_old_store_and_says_so(
    tmp_path: Path,
    store: Store,
    vectors: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    np.savez(tmp_path / "v.npz", ids=store.samples.id, embeddings=vectors)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot be written: .*No space left.*; copy the store"):
        add_member(store.path, "m", [tmp_path / "v.npz"])
    assert Store.open(store.path).digest == store.digest
    assert list((store.path / "members").iterdir()) == []
