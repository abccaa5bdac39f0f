"""`ensembler predict`: blend test embeddings into submission.csv."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from ensembler.cli.main import DEGRADED
from ensembler.errors import InputError, first_few
from ensembler.files import writable_file
from ensembler.inference.blend import predict_store
from ensembler.inference.missing import solves_weights
from ensembler.inference.prediction import Prediction
from ensembler.spec.loading import load_spec
from ensembler.store.reader import MANIFEST, Store


@click.command()
@click.argument("input", metavar="INPUT")
@click.option("--spec", default="ensemble.json", show_default=True, help="The frozen spec.")
@click.option("--out", default="submission.csv", show_default=True, help="The file to write.")
@click.option("--sample-submission", metavar="FILE", help="Keep the order of this submission.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.pass_context
def predict(
    context: click.Context,
    *,
    input: str,  # noqa: A002 - the argument's name in the help
    spec: str,
    out: str,
    sample_submission: str | None,
    as_json: bool,
) -> None:
    """Blend the test embeddings of the store INPUT into submission.csv.

    Rows that no member covers get the prior. Exits with 4 when the store lacks a member of the
    spec: the others are then weighted anew.
    """
    begun = time.monotonic()
    writable_file(out)
    frozen = load_spec(spec)
    prediction = predict_store(frozen, _open_store(input))
    prediction.to_submission(out, sample_submission)
    if as_json:
        result = {
            "out": out,
            "rows": len(prediction),
            "members": list(prediction.members),
            "missing_members": list(prediction.missing_members),
            "prior_rows": prediction.prior_rows,
            "cancelled_rows": prediction.cancelled_rows,
            "seconds": round(time.monotonic() - begun, 3),
            "digest": frozen.digest,
        }
        click.echo(json.dumps(result))
    else:
        click.echo(_summary(prediction, out))
    if prediction.missing_members:
        what = (
            "the weights of the other members were solved again from the spec's coreset"
            if solves_weights(frozen)
            else "the other members keep the weights that the study gave them, renormalised"
        )
        click.echo(
            f"Warning: {input} lacks {first_few(prediction.missing_members)}; {what}, and the"
            " spec's scores do not hold for this blend.",
            err=True,
        )
        context.exit(DEGRADED)


def _open_store(path: str) -> Store:
    if not (Path(path) / MANIFEST).is_file():
        raise InputError(
            f"{path} is not a store of test embeddings (it has no {MANIFEST}); make one with"
            " `ensembler store create` and `ensembler store add`"
        )
    return Store.open(path)


def _summary(prediction: Prediction, out: str) -> str:
    return (
        f"Wrote {out}: {len(prediction)} rows blended from"
        f" {', '.join(prediction.members) or 'the prior alone'}.\n"
        f"Given the prior: {prediction.prior_rows} rows without a member,"
        f" {prediction.cancelled_rows} whose members cancelled."
    )
