"""Whose turn it is, and what is forgotten once nobody waits for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ensembler.blenders.data import NONE_HELD_OUT, Data
from ensembler.blenders.refitting import memory
from ensembler.blenders.registry import parse_blender
from ensembler.evaluation import choosing
from ensembler.evaluation.contestants import AUTO, Contestant
from ensembler.evaluation.estimate import hold_out
from ensembler.evaluation.ground import Ground
from ensembler.evaluation.turns import in_turn


def _ground(data: Data) -> Ground:
    return Ground(
        store=data.store,
        foldings=[data.statistics.fold],
        weight=data.store.samples.weight,
        corpus=data.corpus,
        jobs=1,
    )


def _kept(data: Data) -> set[str]:
    """The blenders of which a fit without a fold is held."""
    return {
        blender.name for blender, held_out, _ in memory._fits(data) if held_out != NONE_HELD_OUT
    }


def test_the_simplest_comes_first_and_is_kept_while_others_stand_on_it(data: Data) -> None:
    names = ("gains", "uniform", "weighted", "greedy+gains")
    entrants = {n: Contestant(blender=parse_blender(n), space=data.space) for n in names}
    ground = _ground(data)
    (own,) = ground.repeats(data.space)
    turns, kept = [], []
    for name, entrant in in_turn(entrants, ground):
        kept.append(_kept(own))
        hold_out(entrant.blender, [own], 0)
        turns.append(name)
    assert turns == ["uniform", "weighted", "greedy+gains", "gains"]
    assert kept == [set(), set(), {"weighted"}, {"weighted"}]
    assert _kept(own) == set()


def test_a_study_that_nobody_waits_for_leaves_nothing_behind(data: Data) -> None:
    spaces = [replace(data.space), replace(data.space)]
    chain = parse_blender("weighted+ridge")
    entrants = {f"{n}": Contestant(blender=chain, space=s) for n, s in enumerate(spaces)}
    ground = _ground(data)
    held = []
    for _, entrant in in_turn(entrants, ground):
        held.append([bool(ground.repeats(space)[0].memo) for space in spaces])
        hold_out(entrant.blender, ground.repeats(entrant.space), 0)
    assert held == [[False, False], [False, False]]
    assert not any(ground.repeats(space)[0].memo for space in spaces)


def test_a_study_is_never_taken_for_one_that_was_there_before(data: Data) -> None:
    ground = _ground(data)
    found = [ground.repeats(replace(data.space, at_most=2))[0] for _ in range(4)]
    assert len(set(map(id, found))) == len(found)


def test_a_choice_keeps_the_fits_on_all_rows_alone(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path))
    monkeypatch.setattr(choosing, "every_blender", lambda _: ("uniform", "weighted", "gains"))
    own = replace(data)
    chosen = choosing.choose_blender(AUTO, own, 0)
    assert _kept(own) == set()
    assert {"weighted", "weighted+gains"} <= {blender.name for blender, *_ in memory._fits(own)}
    assert chosen.comparison is not None
    assert len(chosen.statuses) == own.statistics.folds
