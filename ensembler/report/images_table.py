"""The table that `predict` prints for a folder of images: one row for each member."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ensembler.inference.prediction import ImagePrediction, MemberRun
from ensembler.report.tables import new_table

if TYPE_CHECKING:
    from rich.console import RenderableType


def images_table(prediction: ImagePrediction) -> RenderableType:
    """A table of the members that ran, the reasons of those dropped, and the expected loss.

    Args:
        prediction: the prediction of a folder of images.

    Returns:
        A rich renderable, at most 80 columns wide.
    """
    from rich.console import Group

    table = new_table("member", "checkpoints", "embedded", "seconds", "ms / image", "")
    for run in prediction.runs:
        table.add_row(
            run.name,
            f"{run.checkpoints}",
            f"{run.embedded}",
            f"{run.seconds:.1f}",
            f"{1000.0 * run.seconds / run.embedded:.1f}" if run.embedded else "–",
            _outcome(run),
        )
    return Group(table, *_notes(prediction))


def _notes(prediction: ImagePrediction) -> Iterator[str]:
    if any(_was_there(run) for run in prediction.runs):
        yield "embedded: by this run; the rest was in the work folder."
    for run in prediction.cut_short:
        yield f"{run.name}: {run.blended} of {run.checkpoints} checkpoints blended; {run.dropped}"
    dropped = [run for run in prediction.runs if not run.blended]
    for run in dropped:
        yield f"dropped {run.name}: {run.dropped}"
    if dropped:
        yield (
            f"Without {'it' if len(dropped) == 1 else 'them'} the blend is expected to score"
            f" {prediction.expected_loss:.4f} less (on the spec's coreset)."
        )


def _outcome(run: MemberRun) -> str:
    if not run.blended:
        return "dropped"
    return "blended" if run.dropped is None else f"{run.blended} blended"


def _was_there(run: MemberRun) -> bool:
    return run.dropped is None and not run.embedded
