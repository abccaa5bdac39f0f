"""`ensembler predict`: blend test embeddings, or images, into submission.csv."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ensembler.cli.main import DEGRADED, INTERRUPTED
from ensembler.cli.options import json_option
from ensembler.cli.progress import stages
from ensembler.errors import first_few
from ensembler.files import writable_file

if TYPE_CHECKING:
    from ensembler.inference.prediction import ImagePrediction, Prediction
    from ensembler.inference.run import Progress
    from ensembler.spec.model import EnsembleSpec


@click.command()
@click.argument("input", metavar="INPUT")
@click.option(
    "--spec",
    default="ensemble.json",
    show_default=True,
    help="The frozen spec; or a study of fixed weights, which needs no fit (.toml).",
)
@click.option("--out", default="submission.csv", show_default=True, help="The file to write.")
@click.option("--sample-submission", metavar="FILE", help="Keep the order of this submission.")
@click.option("--strict", is_flag=True, help="Refuse to go on without one of the members.")
@click.option(
    "--checkpoints", multiple=True, metavar="DIR", help="Images: where weights lie; repeatable."
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    default=("auto",),
    show_default="all GPUs, else cpu",
    help="Images: cpu, cuda:1, …; repeat it to share the images out.",
)
@click.option("--batch", type=click.IntRange(min=1), help="Images: at once; probed if not given.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    show_default="float16 on GPUs, else float32",
    help="Images: of the arithmetic.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Images: threads that decode.")
@click.option("--deadline", metavar="8h30m", help="Images: drop the members that do not fit.")
@click.option(
    "--work",
    metavar="DIR",
    show_default=".<out>.work",
    help="Images: keep what is embedded here, to go on from.",
)
@click.option("--image-cache", metavar="DIR", help="Images: keep them, resized, for other runs.")
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
    precision: str | None,
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
    from ensembler.inference.prediction import ImagePrediction
    from ensembler.spec.loading import load_spec

    begun = time.monotonic()
    writable_file(out)
    frozen = None if spec.endswith(".toml") else load_spec(spec)
    with _resumable() as show:
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
            progress=show,
        )
    of_images = prediction if isinstance(prediction, ImagePrediction) else None
    if as_json:
        result = _result(prediction, out) | (_result_of_images(of_images) if of_images else {})
        result |= {
            "seconds": round(time.monotonic() - begun, 3),
            "digest": frozen and frozen.digest,
        }
        click.echo(json.dumps(result))
    else:
        if of_images is not None:
            from ensembler.report.images_table import images_table
            from ensembler.report.tables import as_text

            click.echo(as_text(images_table(of_images)) + "\n")
        click.echo(_summary(prediction, out))
    if of_images is not None and of_images.cache_fault:
        click.echo(
            f"Images were decoded more often than need be: {of_images.cache_fault}", err=True
        )
    warnings = [] if frozen is None else list(_warnings(prediction, frozen, input, out))
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    if warnings:
        context.exit(DEGRADED)


@contextmanager
def _resumable() -> Iterator[Progress]:
    """Progress bars; an interruption says how to go on, once there is something to go on from."""
    seen = set()
    try:
        with stages() as show:

            def progress(member: str, done: int, total: int) -> None:
                seen.add(member)
                show(member, done, total)

            yield progress
    except KeyboardInterrupt:
        if not seen:
            raise
        click.echo("\nInterrupted. The same command goes on where this one stopped.", err=True)
        sys.exit(INTERRUPTED)


def _result(prediction: Prediction, out: str) -> dict[str, object]:
    return {
        "out": out,
        "rows": len(prediction),
        "members": list(prediction.members),
        "missing_members": list(prediction.missing_members),
        "prior_rows": prediction.prior_rows,
        "cancelled_rows": prediction.cancelled_rows,
    }


def _result_of_images(prediction: ImagePrediction) -> dict[str, object]:
    return {
        "runs": [run._asdict() for run in prediction.runs],
        "expected_loss": prediction.expected_loss,
        "cache_fault": prediction.cache_fault,
        "failures": [
            {"id": str(prediction.ids[failure.position]), "reason": failure.reason}
            for failure in prediction.failures
        ],
    }


def _warnings(prediction: Prediction, spec: EnsembleSpec, source: str, out: str) -> Iterator[str]:
    """What makes the submission less than the spec promises."""
    from ensembler.inference.images import failures_path
    from ensembler.inference.missing import solves_weights
    from ensembler.inference.prediction import ImagePrediction
    from ensembler.spec.composed import ComposedBlend

    of_images = isinstance(prediction, ImagePrediction)
    if prediction.missing_members:
        what = (
            "the weights of the other members were solved again from the spec's coreset"
            if solves_weights(spec)
            else "the other members keep the weights that the study gave them, renormalised"
        )
        if not prediction.members:
            what = "every row got the prior"
        elif isinstance(spec.blend, ComposedBlend):
            what = f"plain weights stand in for the composed blend: {what}"
        lacking = "members were dropped:" if of_images else f"{source} lacks"
        yield (
            f"{lacking} {first_few(prediction.missing_members)}; {what}, and the spec's scores do"
            " not hold for this blend."
        )
    if not isinstance(prediction, ImagePrediction):
        return
    for run in prediction.cut_short:
        yield (
            f"{run.name} was blended from {run.blended} of its {run.checkpoints} checkpoints:"
            f" {run.dropped}."
        )
    if prediction.failures:
        yield (
            f"{len(prediction.failures)} images failed, and where no member has them they got the"
            f" prior; {failures_path(out)} says which and why."
        )


def _summary(prediction: Prediction, out: str) -> str:
    return (
        f"Wrote {out}: {len(prediction)} rows blended from"
        f" {', '.join(prediction.members) or 'the prior alone'}.\n"
        f"Given the prior: {prediction.prior_rows} rows without a member,"
        f" {prediction.cancelled_rows} whose members cancelled."
    )
