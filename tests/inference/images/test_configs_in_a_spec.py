"""What a spec says of a predictor's config is what the predictor was dumped with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ensembler.plugins import PREDICTORS, registered
from ensembler.predicting.registry import find_adapter
from ensembler.spec.loading import load_spec, seal

# What must be given, of the adapters that do not do with their defaults alone.
GIVEN: Mapping[str, Mapping[str, Any]] = {
    "tower": {"model": "vit_tiny_patch16_224"},
    "interrogator": {"captioner": {"adapter": "blip"}, "phrases": {"artists": 2}},
}


@pytest.mark.parametrize("name", registered(PREDICTORS))
def test_a_config_that_went_through_a_spec_is_the_same(
    make_world: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    adapter = find_adapter(name)
    config = adapter.Config.model_validate(GIVEN.get(name, {}), strict=False)
    spec = make_world({"a": {}}, images=1).spec
    (member,) = spec.weighted.members
    origin = member.origin.model_copy(
        update={"predictor": name, "config": config.model_dump(mode="json")}
    )
    members = (member.model_copy(update={"origin": origin}),)
    blend = spec.blend.model_copy(update={"members": members})
    seal(
        dim=spec.dim,
        blend=blend,
        scores=spec.scores,
        provenance=spec.provenance,
        coreset=spec.coreset,
    ).save(tmp_path / "spec.json")
    (read,) = load_spec(tmp_path / "spec.json").weighted.members
    assert adapter.Config.model_validate(read.origin.config, strict=False) == config
