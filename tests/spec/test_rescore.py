"""The score of a frozen blend, in blocks, against one row at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ensembler.blending.weighting import Weighting
from ensembler.metrics import unit_rows
from ensembler.spec import rescore as module
from ensembler.spec.freeze import freeze_blend
from ensembler.spec.rescore import rescore
from ensembler.spec.thaw import thaw_weighted
from ensembler.store.reader import Store

Make = Callable[..., Any]


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("block", [1, 7, 120, 4096])
def test_any_block_size_gives_the_score_of_a_loop_over_rows(
    block: int,
    centred: bool,
    small: Store,
    prepare: Make,
    naive_cosines: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, statistics = prepare(small)
    alphas, weights = (0.0, 1.0, 0.5, 2.0), (0.2, 0.3, 0.1, 0.25, 0.15)
    weighting = Weighting(centred=centred, alphas=alphas, weights=weights)
    blend = freeze_blend(weighting, statistics, small)
    priors = unit_rows(np.random.default_rng(0).normal(size=(5, 12)))
    means = thaw_weighted(blend).numbers.means
    expected = naive_cosines(
        [member.block(0, 120) for member in small.members()],
        small.targets(),
        priors[statistics.fold],
        weights=weights,
        alphas=alphas,
        means=None if means is None else list(means.astype(np.float64)),
    ).mean()
    monkeypatch.setattr(module, "BLOCK", block)
    found = rescore(thaw_weighted(blend), small, statistics.fold, priors, statistics.weight)
    assert found == pytest.approx(expected, abs=1e-12)
