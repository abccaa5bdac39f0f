"""Many members: a limited blender finds among the few looked at what it finds among all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensembler import api
from ensembler.blenders.contract import Blender
from ensembler.blenders.data import NONE_HELD_OUT, Data
from ensembler.blenders.registry import parse_blender
from ensembler.blenders.weighted import Weighted
from ensembler.blending import cache
from ensembler.caching import cache_folder
from ensembler.errors import StoreError
from ensembler.fitting import narrowing
from ensembler.fitting.narrowing import limit_members
from ensembler.fitting.preparing import prepare_data
from ensembler.spec.loading import load_spec
from ensembler.store.reader import Store

Make = Callable[..., Any]
MEMBERS = 14
LIMITED = "weighted:members_at_most=3"


@pytest.fixture(autouse=True)
def _fourteen_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowing, "MANY", MEMBERS - 1)


@pytest.fixture(scope="module")
def wide(generate: Make, write_store: Callable[..., Store]) -> Store:
    data = generate("partial", rows=160, members=MEMBERS)
    return write_store(data.targets, data.members, groups=data.groups)


@pytest.mark.parametrize("keys", [{}, {"bounds": "free"}, {"prior": False, "centring": "off"}])
def test_no_fit_is_changed_by_the_members_left_out_before_it(
    wide: Store, prepare: Make, keys: dict[str, object]
) -> None:
    space, statistics = prepare(wide, trials=8, **keys)
    blender = Weighted(members_at_most=3)
    narrow = prepare_data(wide, limit_members(space, blender))
    assert narrow.everyone is not None
    assert narrow.everyone.names == space.names
    less, whole = narrow.data, Data(store=wide, statistics=statistics, space=space)
    assert set(less.names) < set(space.names)
    for held_out in (NONE_HELD_OUT, *(frozenset({fold}) for fold in range(statistics.folds))):
        found, expected = (blender.fit(data, held_out, 0) for data in (less, whole))
        assert found.blend.members == expected.blend.members
        assert found.blend.numbers.weights == pytest.approx(
            expected.blend.numbers.weights, rel=1e-3, abs=1e-4
        )
        assert found.objective == pytest.approx(expected.objective, abs=1e-6)


def test_a_fit_that_was_narrowed_scores_what_it_would_have(
    wide: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitted() -> api.FitResult:
        return api.fit(wide, blender=LIMITED, trials=8)

    narrow = fitted()
    monkeypatch.setattr(narrowing, "MANY", MEMBERS)
    whole = fitted()
    assert narrow.score == pytest.approx(whole.score, abs=1e-6)
    assert narrow.held_out is not None
    assert whole.held_out is not None
    assert narrow.held_out.score == pytest.approx(whole.held_out.score, abs=1e-6)
    assert len(narrow.spec.scores.members) < len(whole.spec.scores.members) == MEMBERS


def test_baselines_of_a_fit_that_was_narrowed_are_of_all_members(
    wide: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = api.fit(wide, blender=LIMITED, trials=1).spec.scores
    monkeypatch.setattr(narrowing, "MANY", MEMBERS)
    whole = api.fit(wide, blender=LIMITED, trials=1).spec.scores
    assert narrow.baselines is not None
    assert narrow.held_out is not None
    assert whole.baselines is not None
    assert whole.held_out is not None
    assert narrow.baselines.model_dump() == pytest.approx(whole.baselines.model_dump(), abs=1e-6)
    for name, lead in narrow.held_out.versus.items():
        expected = whole.held_out.versus[name]
        assert lead.difference == pytest.approx(expected.difference, abs=1e-6)
        assert lead.interval == pytest.approx(expected.interval, abs=1e-6)
    compared = api.evaluate(wide, blenders=["uniform", "single_best"], rows=0).evaluation
    for name, standing in compared.comparison.blends.items():
        said = narrow.baselines.model_dump()[name]
        assert said == pytest.approx(standing.held_out.score, abs=1e-6)


def test_a_fit_that_was_narrowed_says_of_how_many_members(
    wide: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = api.fit(wide, blender=LIMITED, trials=1, spec=tmp_path / "ensemble.json")
    taken = len(fitted.spec.scores.members)
    spec = load_spec(tmp_path / "ensemble.json")
    assert spec.provenance.study["preselection"] == {"looked_at": MEMBERS, "taken": taken}
    assert fitted.preselection_s > 0.0
    said = " ".join(str(fitted).split())
    assert f"{MEMBERS} members were looked at, each by itself; {taken} of them" in said
    assert f"Choosing a few of many members took {fitted.preselection_s:.1f} s." in said
    monkeypatch.setattr(narrowing, "MANY", MEMBERS)
    whole = api.fit(wide, blender=LIMITED, trials=1)
    assert whole.preselection_s == 0.0
    assert "preselection" not in whole.spec.provenance.study
    assert "looked at" not in str(whole)


def test_members_that_no_selection_took_are_told_of_by_value(wide: Store) -> None:
    parts = api.evaluate(wide, blenders=[LIMITED], column="fold", rows=0).evaluation.parts
    expected = api.evaluate(wide, blenders=["uniform"], column="fold", rows=0).evaluation.parts
    members = {part.value: part.members for part in parts}
    assert members == {part.value: pytest.approx(part.members, abs=1e-6) for part in expected}
    assert all(len(of_value) == MEMBERS for of_value in members.values())


def test_an_evaluation_narrows_those_alone_who_are_limited(wide: Store) -> None:
    blends = api.evaluate(wide, blenders=[LIMITED, "greedy"], rows=0).evaluation.comparison.blends
    assert len(blends[LIMITED].members) <= 3
    assert len(blends["greedy"].members) > 3


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (LIMITED, 3),
        ("weighted:members_at_most=3+gains", 3),
        ("weighted:members_at_most=3+ridge", None),  # a ridge maps all members
        ("weighted:members_at_most=3,budget=2.0", None),  # chooses among those in the budget
        ("weighted", None),
        ("greedy", None),
    ],
)
def test_who_blends_a_few_of_all_is_known_by_name(
    text: str, limit: int | None, wide: Store, prepare: Make
) -> None:
    space, _ = prepare(wide)
    blender: Blender = parse_blender(text)
    assert limit_members(space, blender).at_most == limit
    assert limit_members(space.among(space.names[1:]), blender).at_most is None  # not many


def test_too_many_pairs_are_refused_before_any_work_and_the_remedy_works(
    wide: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "LARGEST", 160 * MEMBERS * 100)
    with pytest.raises(StoreError, match=r"14 members over 160 rows.*weighted:members_at_most=15"):
        api.fit(wide, trials=1)
    assert not list(cache_folder().iterdir())
    assert np.isfinite(api.fit(wide, blender=LIMITED, trials=1).score)
    record = api.export_blend(wide, tmp_path / "stack", "few", blender=LIMITED)
    assert len(record.origin.config["members"]) < MEMBERS
