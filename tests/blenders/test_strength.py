"""Choosing a strength by inner folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.refitting.strength import TIE, choose_strength
from ensembler.testing.worlds import FOLDS, make_world

Score = Callable[[HeldFolds, int], NDArray[np.float64]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    world = make_world().with_weight(lambda name: 1.0 + int(name[1:]) % 3)
    return world.data(tmp_path_factory.mktemp("world"))


def scores_of(data: Data, means: list[list[float]]) -> Score:
    """For each fold (line) what candidates (columns) score on average."""

    def score(inner: HeldFolds, fold: int) -> NDArray[np.float64]:
        assert fold in inner
        return np.array(means[fold]) * float(data.statistics.weight[data.fold_rows(fold)].sum())

    return score


def test_the_candidate_with_the_best_weighted_mean_over_the_inner_folds_is_chosen(
    data: Data,
) -> None:
    means = [[0.5, 0.9, 0.1], [0.5, 0.1, 0.6], [0.5, 0.2, 0.6], [0.5, 0.1, 0.6]]
    choice = choose_strength(data, NONE_HELD_OUT, scores_of(data, means), default=0)
    shares = [data.statistics.weight[data.fold_rows(fold)].sum() for fold in range(FOLDS)]
    expected = sum(s * np.array(m) for s, m in zip(shares, means, strict=True)) / sum(shares)
    assert choice.scores == pytest.approx(expected)
    assert choice.index == int(np.argmax(expected))


def test_every_fold_but_those_aside_is_put_aside_in_turn(data: Data) -> None:
    asked = []

    def score(inner: HeldFolds, fold: int) -> NDArray[np.float64]:
        asked.append((inner, fold))
        return np.zeros(2)

    choose_strength(data, frozenset({1}), score, default=0)
    assert asked == [(frozenset({1, fold}), fold) for fold in (0, 2, 3)]


def test_of_candidates_that_tie_the_first_is_taken(data: Data) -> None:
    level = [[0.4, 0.5, 0.5 + TIE / 2, 0.5]] * FOLDS
    assert choose_strength(data, NONE_HELD_OUT, scores_of(data, level), default=3).index == 1


def test_with_too_few_inner_folds_the_default_is_taken_and_nothing_is_scored(data: Data) -> None:
    def never(inner: HeldFolds, fold: int) -> NDArray[np.float64]:
        raise AssertionError((inner, fold))

    choice = choose_strength(data, frozenset({0, 1}), never, default=7)
    assert (choice.index, choice.scores) == (7, None)


def test_where_no_training_row_has_weight_the_default_is_taken(data: Data) -> None:
    weightless = replace(data.statistics, weight=np.zeros(len(data.statistics)))
    level = scores_of(data, [[1.0, 0.0]] * FOLDS)
    choice = choose_strength(replace(data, statistics=weightless), NONE_HELD_OUT, level, default=1)
    assert (choice.index, choice.scores) == (1, None)
