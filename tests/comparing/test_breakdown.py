"""Scores by the values of a column, against loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ensembler.blenders.data import Data
from ensembler.comparing.breakdown import by_value, column_of
from ensembler.errors import InputError
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


def test_an_unknown_column_offers_the_nearest(data: Data) -> None:
    with pytest.raises(InputError, match="no column named 'sorce'; did you mean 'source'"):
        column_of(data.store.samples, "sorce")
