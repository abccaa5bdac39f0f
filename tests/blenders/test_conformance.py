"""Every registered blender keeps what every blender must, alone, in a chain and with options."""

from __future__ import annotations

import pytest

from ensembler.blenders.contract import Blender
from ensembler.blenders.fixed import Fixed
from ensembler.blenders.registry import blender_names, parse_blender
from ensembler.testing.blenders import BlenderConformance

GIVEN = {"fixed": Fixed(weights={"m1": 0.8, "prior": 0.2})}  # what has no default
SPELT = (
    "gated+gains+ridge",
    "weighted:shrinkage=auto",
    "weighted:objective=worst_source",
    "weighted:members_at_most=2",
    "nested:groups=True",
)


class TestRegistered(BlenderConformance):
    """Whoever registers comes in by itself."""

    @pytest.fixture(scope="class", params=(*blender_names(), *SPELT))
    @classmethod
    def blender(cls, request: pytest.FixtureRequest) -> Blender:
        return GIVEN.get(request.param) or parse_blender(request.param)
