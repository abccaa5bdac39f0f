"""The published systems' studies, each run on a small store with members of its names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ensembler import api

if TYPE_CHECKING:
    from ensembler.store.reader import Store
    from tests.conftest import Generated

MEMBERS = {
    "minaR0404_43rd": ("blip", "coca", "clip_vit_l14", "clip_vit_b16"),
    "knjcode_5th": ("convnext_l", "clip_vit_l14", "convnext_xxl", "eva02_l"),
    "bestfitting_1st": ("clip_vit_l14", "convnext_xxl", "blip2_qformer"),
    "qcqced123_248th": ("style_metric",),
    "dglaser2": ("clip_gpt2", "interrogator", "captioner_ofa"),
}
FIXED = {
    "minaR0404_43rd": {"blip": 0.1, "coca": 0.15, "clip_vit_l14": 0.375, "clip_vit_b16": 0.375},
    "qcqced123_248th": {"style_metric": 1.0},
}


@pytest.mark.parametrize("study", MEMBERS)
def test_a_published_study_blends_its_members_as_it_says(
    study: str, generate: Callable[..., Generated], write_store: Callable[..., Store]
) -> None:
    names = MEMBERS[study]
    data = generate("confidence", rows=90, members=len(names))
    members = dict(zip(names, data.members.values(), strict=True))
    store = write_store(data.targets, members, groups=data.groups)
    blend = api.fit(store, study=study, trials=8).spec.weighted
    assert not blend.centred
    assert blend.prior.weight == 0.0
    assert {member.norm for member in blend.members} == {"l2"}
    weights = {member.name: member.weight for member in blend.members}
    assert set(weights) <= set(names)
    if study in FIXED:
        assert weights == pytest.approx(FIXED[study])
    assert np.isclose(sum(weights.values()), 1.0)
