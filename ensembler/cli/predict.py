"""`ensembler predict`: blend test embeddings, or images, into submission.csv."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ensembler.cli.interrupting import resumable
from ensembler.cli.main import DEGRADED
from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
from ensembler.errors import first_few
from ensembler.files import writable_file
from ensembler.predicting.batches import PRECISIONS, Precision

if TYPE_CHECKING:
    from ensembler.inference.prediction import Prediction
    from ensembler.spec.model import EnsembleSpec


@click.command()
@click.argument("input", metavar="INPUT")
@click.option(
    "--spec",
    default="ensemble.json",
    show_default=True,
    metavar="FILE",
    help="Frozen spec; or a study of fixed weights (.toml), which needs no fit.",
)
@click.option(
    "--out",
    default="submission.csv",
    show_default=True,
    metavar="FILE",
    help="Submission to write.",
)
@click.option(
    "--sample-submission",
    metavar="FILE",
    show_default="ids sorted",
    help="Sample submission whose order to keep.",
)
@click.option("--strict", is_flag=True, help="Refuse to go on without one of the members.")
@click.option(
    "--checkpoints",
    multiple=True,
    metavar="DIR",
    help="Images: folder to look for checkpoints in; repeatable.",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    default=("auto",),
    metavar="NAME",
    show_default="all GPUs, else cpu",
    help="Images: device to embed on, as cpu or cuda:1; repeat it to share the images out.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="probed",
    help="Images: number embedded at once.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    show_default="float16 on GPUs, else float32",
    help="Images: precision of the arithmetic.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="by the cores",
    help="Images: number of threads that decode, for each device.",
)
@click.option(
    "--deadline",
    metavar="TIME",
    help="Images: time in which all is to be written, as 8h30m; what does not fit is dropped.",
)
@click.option(
    "--work",
    metavar="DIR",
    show_default=".<out>.work",
    help="Images: folder to keep what is embedded in, to go on from.",
)
@click.option(
    "--image-cache",
    metavar="DIR",
    help="Images: folder to keep them in, resized, for other runs.",
)
@json_option
@click.pass_context
def predict(
    context: click.Context,
    *,
    input: str,  # noqa: A002 - the argument's name in the help
    spec: str,
    out: str,
    sample_submission: str | None,
    strict: bool,
    checkpoints: tuple[str, ...],
    devices: tuple[str, ...],
    batch: int | None,
    precision: Precision | None,
    workers: int | None,
    deadline: str | None,
    work: str | None,
    image_cache: str | None,
    as_json: bool,
) -> None:
    """Blend the store of test embeddings or the folder of images INPUT into submission.csv.

    Rows that no member covers get the prior. Exits with 4 when a member of the spec is missing or
    was dropped, the others then being weighted anew, when one was blended without some of its
    checkpoints, or when images failed.

    Images are embedded by each of the spec's members; the same command goes on where an earlier one
    was stopped. Checkpoints are also looked for in the folders that ENSEMBLER_CHECKPOINTS names.
    """
    from ensembler import api
    from ensembler.spec.loading import load_spec

    begun = time.monotonic()
    writable_file(out)
    frozen = None if spec.endswith(".toml") else load_spec(spec)
    with resumable() as progress:
        prediction = api.predict(
            frozen or spec,
            input,
            out=out,
            sample_submission=sample_submission,
            strict=strict,
            checkpoints=checkpoints,
            devices=devices,
            batch=batch,
            precision=precision,
            workers=workers,
            deadline=deadline,
            work=work,
            image_cache=image_cache,
            progress=progress,
        )
    if as_json:
        seconds = round(time.monotonic() - begun, 3)
        digest = frozen and frozen.digest
        print_json({**_document(prediction, out), "seconds": seconds, "digest": digest})
    else:
        click.echo(_summary(prediction, out))
    for note in _notes(prediction, frozen, input, out):
        click.echo(note, err=True)
    if prediction.is_degraded:
        context.exit(DEGRADED)


def _document(prediction: Prediction, out: str) -> dict[str, object]:
    from ensembler.inference.prediction import ImagePrediction

    document: dict[str, object] = {
        "out": out,
        "rows": len(prediction),
        "members": list(prediction.members),
        "missing_members": list(prediction.missing_members),
        "unused_members": list(prediction.unused_members),
        "prior_rows": prediction.prior_rows,
        "cancelled_rows": prediction.cancelled_rows,
    }
    if isinstance(prediction, ImagePrediction):
        document |= {
            "runs": [run._asdict() for run in prediction.runs],
            "expected_loss": prediction.expected_loss,
            "cache_fault": prediction.cache_fault,
            "failures": [
                {"id": str(prediction.ids[failure.position]), "reason": failure.reason}
                for failure in prediction.failures
            ],
        }
    return document


def _summary(prediction: Prediction, out: str) -> str:
    """The submission in words; of images, a table of how each member fared too."""
    from ensembler.inference.prediction import ImagePrediction

    written = (
        f"Wrote {out}: {len(prediction)} rows blended from"
        f" {', '.join(prediction.members) or 'the prior alone'}.\n"
        f"Given the prior: {prediction.prior_rows} rows without a member,"
        f" {prediction.cancelled_rows} whose members cancelled."
    )
    if not isinstance(prediction, ImagePrediction):
        return written
    from ensembler.report.images_table import images_table
    from ensembler.report.tables import as_text

    return f"{as_text(images_table(prediction))}\n\n{written}"


def _notes(
    prediction: Prediction, spec: EnsembleSpec | None, source: str, out: str
) -> Iterator[str]:
    """Notes on time lost, and warnings of what makes the submission less than the spec promises."""
    from ensembler.inference.images import failures_path
    from ensembler.inference.prediction import ImagePrediction

    if isinstance(prediction, ImagePrediction) and prediction.cache_fault:
        yield f"Images were decoded more often than need be: {prediction.cache_fault}"
    if prediction.missing_members and spec is not None:
        yield f"Warning: {_without_members(prediction, spec, source)}"
    if prediction.unused_members:
        yield f"Not in the spec, and left alone: {first_few(prediction.unused_members)}."
    if not isinstance(prediction, ImagePrediction):
        return
    for run in prediction.cut_short:
        yield (
            f"Warning: {run.name} was blended from {run.blended} of its {run.checkpoints}"
            f" checkpoints: {run.dropped}."
        )
    if prediction.failures:
        yield (
            f"Warning: {len(prediction.failures)} images failed, and where no member has them they"
            f" got the prior; {failures_path(out)} says which and why."
        )


def _without_members(prediction: Prediction, spec: EnsembleSpec, source: str) -> str:
    """The members that are not in the blend, and what stands in for them."""
    from ensembler.inference.missing import solves_weights
    from ensembler.inference.prediction import ImagePrediction
    from ensembler.spec.composed import ComposedSpec

    what = (
        "the weights of the other members were solved again from the spec's coreset"
        if solves_weights(spec)
        else "the other members keep the weights that the study gave them, renormalised"
    )
    if not prediction.members:
        what = "every row got the prior"
    elif isinstance(spec.blend, ComposedSpec):
        what = f"plain weights stand in for the composed blend: {what}"
    of_images = isinstance(prediction, ImagePrediction)
    lacking = "members were dropped:" if of_images else f"{source} lacks"
    return (
        f"{lacking} {first_few(prediction.missing_members)}; {what}, and the spec's scores do not"
        " hold for this blend."
    )
