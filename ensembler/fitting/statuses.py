"""Sentences on how fits end."""

from __future__ import annotations

from ensembler.blenders import nested, ridge
from ensembler.blending import solver

SENTENCES = {
    status.name: str(status.value)
    for statuses in (ridge.Status, nested.Status, solver.Status)
    for status in statuses
}


def remark(status: str) -> str | None:
    """A remark on how a fit ended, if there is one.

    Args:
        status: as `FittedBlend.status` has it.

    Returns:
        A sentence without a full stop, the status itself where a plug-in has its own; None where
        there is nothing to remark.
    """
    return None if status in solver.UNREMARKABLE else SENTENCES.get(status, status)
