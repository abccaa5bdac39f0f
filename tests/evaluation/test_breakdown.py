"""Scores by the values of a column, against loops."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembler.blenders.data import Data
from ensembler.errors import InputError
from ensembler.evaluation.breakdown import FEW, _ranges, by_value, column_of
from ensembler.store.reader import Samples
from ensembler.testing.worlds import World


def test_parts_are_weighted_means_over_the_rows_of_a_value(data: Data, world: World) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 3, len(world)).astype(np.float64)
    statistics = replace(data.statistics, weight=weight)
    cosines = {"a": rng.uniform(size=len(world)), "b": rng.uniform(size=len(world))}
    groups = column_of(data.store.samples, "group")
    parts = by_value(groups, cosines, statistics)
    for part in parts:
        rows = [r for r in range(len(world)) if groups[r] == part.value and weight[r] > 0.0]
        assert part.rows == len(rows)
        for name, values in cosines.items():
            naive = sum(weight[r] * values[r] for r in rows) / sum(weight[r] for r in rows)
            assert part.blends[name] == pytest.approx(naive, abs=1e-12)
        for name, vectors in world.members.items():
            here = [r for r in rows if vectors[r].any()]
            if not here:
                assert part.members[name] is None
                continue
            total = 0.0
            for r in here:
                vector, target = vectors[r].astype(float), world.targets[r].astype(float)
                cosine = vector @ target / np.linalg.norm(vector) / np.linalg.norm(target)
                total += weight[r] * cosine
            naive = total / sum(weight[r] for r in here)
            assert part.members[name] == pytest.approx(naive, abs=1e-5)
    assert [part.blends["a"] for part in parts] == sorted(part.blends["a"] for part in parts)


def test_values_without_a_row_that_counts_are_left_out(data: Data, world: World) -> None:
    source = column_of(data.store.samples, "source")
    statistics = replace(data.statistics, weight=(source == "drawn").astype(np.float64))
    (part,) = by_value(source, {"a": np.ones(len(world))}, statistics)
    assert (part.value, part.rows) == ("drawn", len(world) // 2)


def _with(data: Data, **further: list[str]) -> Samples:
    columns = {name: np.array(values, dtype=object) for name, values in further.items()}
    return replace(data.store.samples, further=columns)


def test_every_column_but_the_id_can_be_asked_for(data: Data, world: World) -> None:
    samples = _with(data, sampler=["euler", ""] * (len(world) // 2))
    assert column_of(samples, "sampler")[:2].tolist() == ["euler", ""]
    assert column_of(samples, "fold").tolist() == world.samples["fold"]
    assert column_of(samples, "source").tolist() == world.samples["source"]
    assert set(column_of(samples, "weight")) == {"1.0"}
    prompts = np.array([f"a {group}" for group in world.samples["group"]], dtype=object)
    assert column_of(replace(samples, prompt=prompts), "prompt").tolist() == prompts.tolist()


@settings(max_examples=30)
@given(
    numbers=st.lists(st.one_of(st.integers(-50, 50), st.just(3)), min_size=40, max_size=40),
    blank=st.lists(st.integers(0, 39), max_size=10),
)
def test_many_numbers_come_in_ranges_that_hold_them_and_split_no_equals(
    numbers: list[int], blank: list[int]
) -> None:
    texts = ["" if row in blank else f"{number / 10}" for row, number in enumerate(numbers)]
    found = _ranges(np.array(texts))
    told = [float(text) for text in texts if text]
    if len(set(told)) <= FEW:
        assert found.tolist() == texts
        return
    assert 2 <= len({label for label in found if label}) <= 4
    for text, label in zip(texts, found, strict=True):
        assert (text == "") == (label == "")
        if text:
            low, high = map(float, label.split(" … "))
            assert low <= float(text) <= high
    ends = sorted({tuple(map(float, label.split(" … "))) for label in found if label})
    assert all(one[1] < other[0] for one, other in pairwise(ends))


def test_ranges_of_different_numbers_are_quarters() -> None:
    found = _ranges(np.random.default_rng(0).permutation(np.arange(80)).astype(str))
    _, counts = np.unique(found, return_counts=True)
    assert counts.tolist() == [20, 20, 20, 20]


@pytest.mark.parametrize("odd", ["nan", "inf", ""])
def test_what_is_no_finite_number_stands_apart_from_the_ranges(odd: str) -> None:
    found = _ranges(np.array([*map(str, range(20)), odd]))
    assert found[-1] == odd
    assert set(found[:-1]) == {"0 … 4", "5 … 9", "10 … 14", "15 … 19"}


@pytest.mark.parametrize("odd", ["x", "1,5"])
def test_a_column_with_a_value_that_is_no_number_is_one_of_texts(odd: str) -> None:
    column = np.array([*map(str, range(20)), odd])
    assert _ranges(column).tolist() == column.tolist()


def test_ids_of_groups_are_no_numbers(data: Data, world: World) -> None:
    groups = np.array([str(row) for row in range(len(world))])
    samples = replace(data.store.samples, group=groups)
    assert column_of(samples, "group").tolist() == groups.tolist()


def test_an_unknown_column_offers_the_nearest(data: Data) -> None:
    with pytest.raises(InputError, match="no column named 'sorce'; did you mean 'source'"):
        column_of(data.store.samples, "sorce")
