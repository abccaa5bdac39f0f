"""Ends of fits are told in sentences."""

from __future__ import annotations

from enum import Enum

import pytest

from ensembler.blenders import nested, ridge
from ensembler.blending import solver
from ensembler.fitting.statuses import remark


@pytest.mark.parametrize(
    "status",
    [
        ridge.Status.MEMBERS_LEFT_OUT,
        nested.Status.TOO_FEW_FOLDS,
        solver.Status.MAX_ITERATIONS,
    ],
    ids=lambda status: status.name,
)
def test_an_end_to_remark_on_is_told_by_its_sentence(status: Enum) -> None:
    assert remark(status.name) == status.value


@pytest.mark.parametrize("status", ["CONVERGED", "given"])
def test_a_good_end_needs_no_remark(status: str) -> None:
    assert remark(status) is None


def test_a_plug_ins_own_end_is_told_as_it_is() -> None:
    assert remark("out of luck") == "out of luck"
