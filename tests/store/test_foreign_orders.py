"""Real members of `oof/`, written in the orders that people's scripts write them in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.store.audit import Finding, Kind, audit
from ensembler.store.create import create_store
from ensembler.store.reader import Store
from ensembler.store.writer import add_member

OOF = Store.open(Path(__file__).parents[2] / "oof")
HONEST = ("instructblip", "llava", "gemini_0shot")
SUBJECT = "gpt4v_ih"

Positions = NDArray[np.int64]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The samples of `oof/` under ids that sort differently in every way, three members of it."""
    rng = np.random.default_rng(3)
    ids = [
        f"{'aB'[n % 2]}{n // 4}{'-1' if n % 4 > 1 else ''}"
        for n in rng.permutation(len(OOF.samples))
    ]
    lines = [
        f"{id_},{fold},{group}"
        for id_, fold, group in zip(ids, OOF.samples.fold, OOF.samples.group, strict=True)
    ]
    (tmp_path / "s.csv").write_text("id,fold,group\n" + "\n".join(lines) + "\n")
    np.save(tmp_path / "t.npy", OOF.targets())
    made = create_store(tmp_path / "store", tmp_path / "s.csv", targets=tmp_path / "t.npy")
    for name in HONEST:
        add(made, name, np.arange(len(OOF.member(name).rows)))
    return made


def add(store: Store, name: str, order: Positions) -> None:
    """Add a member of `oof/` whose rows stand in some order beside ids that do not."""
    member = OOF.member(name)
    file = store.path.parent / f"{name}.npz"
    np.savez(file, ids=store.samples.id[member.rows], embeddings=member.embeddings[order])
    add_member(store.path, name, [file])


def found_in(store: Store, order: Callable[[list[str]], list[int]]) -> Finding:
    rows = OOF.member(SUBJECT).rows
    add(store, SUBJECT, np.array(order(store.samples.id[rows].tolist())))
    (finding,) = audit(Store.open(store.path))
    assert (finding.kind, finding.member) == (Kind.MISALIGNED, SUBJECT)
    return finding


def sorted_by(key: Callable[[str], Any]) -> Callable[[list[str]], list[int]]:
    def order(ids: list[str]) -> list[int]:
        return sorted(range(len(ids)), key=lambda place: key(ids[place]))

    return order


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (str, "in the order of sorted ids,"),
        (lambda id_: f"{id_}.png", "in the order of sorted file names,"),
        (
            lambda id_: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", id_)],
            "in the order of ids sorted by their numbers,",
        ),
        (str.casefold, "in the order of ids sorted in lower case,"),
    ],
)
def test_a_sorted_folder_is_named_by_the_way_it_is_sorted(
    store: Store, key: Callable[[str], Any], words: str
) -> None:
    assert words in found_in(store, sorted_by(key)).message


def test_a_folders_own_order_is_a_finding_though_no_rule_undoes_it(store: Store) -> None:
    def listed(ids: list[str]) -> list[int]:
        return [int(place) for place in np.random.default_rng(0).permutation(len(ids))]

    message = found_in(store, listed).message
    assert "rows know nothing of their own targets: the mean cosine is 0.1" in message
    assert "os.listdir" in message


def test_rows_in_the_samples_order_are_no_finding(store: Store) -> None:
    add(store, SUBJECT, np.arange(len(OOF.member(SUBJECT).rows)))
    assert audit(Store.open(store.path)) == ()


def test_a_member_of_one_fold_alone_is_a_finding_and_of_two_is_none(store: Store) -> None:
    member = OOF.member(SUBJECT)
    fold = OOF.samples.fold[member.rows]
    for name, kept in (("one", fold == 2), ("two", fold <= 1)):
        file = store.path.parent / f"{name}.npz"
        ids = store.samples.id[member.rows[kept]]
        np.savez(file, ids=ids, embeddings=member.embeddings[kept])
        add_member(store.path, name, [file])
    (finding,) = audit(Store.open(store.path))
    assert (finding.kind, finding.member, finding.rows) == (Kind.FOLDS, "one", (fold == 2).sum())
    assert "are in fold 2, so that nothing outside tells its weight" in finding.message
    assert "with the files of all 5 folds" in finding.message
