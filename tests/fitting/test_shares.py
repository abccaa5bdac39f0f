"""What each member weighs in a blend, against vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ensembler import api
from ensembler.search.definition import StudyDefinition
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.numbers import decode_vector
from ensembler.store.reader import Store

Make = Callable[..., Any]
FLAT = 1e-4  # near the optimum, weights this far apart score within float32's 1e-8


def naive_shares(spec: EnsembleSpec, store: Store) -> dict[str, float]:
    """Weight times mean powered length over the rows a member covers, row by row in float64."""
    sizes = {"prior": spec.weighted.prior.weight}
    for member in spec.weighted.members:
        mean = 0.0 if member.mean is None else decode_vector(member.mean).astype(np.float64)
        vectors = store.member(member.name).block(0, len(store.samples.id)).astype(np.float64)
        lengths = [float(np.linalg.norm(row - mean)) for row in vectors if row.any()]
        powered = [length ** (1.0 - member.alpha) for length in lengths]
        sizes[member.name] = member.weight * sum(powered) / len(powered)
    whole = sum(map(abs, sizes.values()))
    return {name: size / whole for name, size in sizes.items()}


@pytest.mark.parametrize("norms", [("none",), ("l2",), ("power",)])
@pytest.mark.parametrize("bounds", ["simplex", "free"])
def test_shares_are_weights_times_mean_lengths(norms: Any, bounds: Any, small: Store) -> None:  # noqa: ANN401 - literals of the study
    study = StudyDefinition(norms=norms, bounds=bounds, trials=12, validation="none")
    spec = api.fit(small, study=study).spec
    expected = naive_shares(spec, small)
    scores = spec.scores
    assert scores.prior_share == pytest.approx(expected.pop("prior"), abs=1e-7)
    for name, score in scores.members.items():
        assert score.share == pytest.approx(expected.get(name, 0.0), abs=1e-7)
    shares = [scores.prior_share, *(score.share for score in scores.members.values())]
    assert sum(map(abs, shares)) == pytest.approx(1.0, abs=1e-12)


def test_a_members_scale_moves_its_weight_and_not_its_share(
    generate: Make, write_store: Make
) -> None:
    data = generate("noise", rows=120, members=2)
    tiny = {**data.members, "m1": data.members["m1"] * np.float32(1e-12)}
    study = StudyDefinition(norms=("none",), centring="off", trials=12, validation="none")
    plain, scaled = (
        api.fit(write_store(data.targets, members, groups=data.groups), study=study).spec
        for members in (data.members, tiny)
    )
    assert scaled.weighted.members[0].weight < 1e-9
    for name, score in plain.scores.members.items():
        assert scaled.scores.members[name].share == pytest.approx(score.share, abs=FLAT)
