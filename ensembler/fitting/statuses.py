"""How fits end, in words."""

from __future__ import annotations

from ensembler.blenders import nested, ridge
from ensembler.blenders.weights.fitted import GIVEN
from ensembler.blending import solver

SENTENCES = {
    status.name: str(status.value)
    for statuses in (ridge.Status, nested.Status, solver.Status)
    for status in statuses
}
UNREMARKABLE = (GIVEN, solver.Status.CONVERGED.name)


def remark(status: str) -> str | None:
    """What there is to say of a fit's end.

    Args:
        status: as `FittedBlend.status` has it.

    Returns:
        A sentence without a full stop, the status itself where a plug-in has its own; None where
        there is nothing to remark.
    """
    return None if status in UNREMARKABLE else SENTENCES.get(status, status)
