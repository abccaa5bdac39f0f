"""Columns of blends and members: the best that fit, and the number of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ensembler import api
from ensembler.report.evaluation_tables import COLUMNS_WIDTH, GAP, SCORE_WIDTH, _fitting
from ensembler.report.tables import WIDTH
from ensembler.store.reader import Store

Make = Callable[..., Any]
MEMBERS = 20
LONG = ["greedy:bags=2", "weighted:shrinkage=0.5", "uniform+gains:basis=coordinates", "uniform"]


@pytest.fixture(scope="module")
def wide(generate: Make, write_store: Callable[..., Store]) -> Store:
    data = generate("partial", rows=60, members=MEMBERS)
    return write_store(data.targets, data.members, groups=data.groups)


def test_no_name_is_shown_after_one_that_has_no_room() -> None:
    long = "x" * (COLUMNS_WIDTH - SCORE_WIDTH - 2 * GAP)
    assert list(_fitting(["a", long, "b"])) == ["a", long]
    assert list(_fitting(["a", f"{long}x", "b"])) == ["a"]
    assert list(_fitting([long * 2, "b"])) == [long * 2]
    assert list(_fitting(["a", "b"])) == ["a", "b"]


def test_many_members_leave_the_table_readable_and_the_rest_counted(wide: Store) -> None:
    result = api.evaluate(wide, blenders=["uniform"], column="fold", rows=0)
    lines = str(result).splitlines()
    assert max(map(len, lines)) <= WIDTH
    start = next(at for at, line in enumerate(lines) if line.startswith("members by fold"))
    shown = lines[start].split()[4:]
    assert 0 < len(shown) < MEMBERS
    for part, line in zip(result.evaluation.parts, lines[start + 2 :], strict=False):
        scores = [part.members[name] for name in shown]
        found = ["–" if score is None else f"{score:.4f}" for score in scores]
        assert line.split() == [part.value, str(part.rows), *found]
    assert f"{len(shown)} of {MEMBERS} members are shown; --json has all." in lines


def test_blends_shown_by_value_are_the_best_without_a_gap(wide: Store) -> None:
    result = api.evaluate(wide, blenders=LONG, column="fold", rows=0)
    lines = str(result).splitlines()
    (heading,) = (line for line in lines if line.startswith("by fold"))
    shown = heading.split()[3:]
    comparison = result.evaluation.comparison
    best = [name for name in comparison.blends if name != comparison.chosen]
    assert set(shown) == {comparison.chosen, *best[: len(shown) - 1]}
    assert len(shown) < len(LONG)
    assert f"{len(shown)} of {len(LONG)} blends are shown; --json has all." in lines
