"""`ensembler fit`: tune a blend on a store, print its scores, write its spec."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ensembler.cli.progress import stages

if TYPE_CHECKING:
    from ensembler.api import FitResult


@click.command()
@click.argument("oof")
@click.option("--study", default="default", show_default=True, metavar="NAME|FILE")
@click.option("--spec", default="ensemble.json", show_default=True, help="The spec to write.")
@click.option("--members", metavar="A,B*", help="Only these members; patterns are welcome.")
@click.option("--trials", type=click.IntRange(min=1), help="Instead of the study's.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the study's.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Threads.")
@click.option("--storage", metavar="URL", help="An Optuna storage instead of the journal file.")
@click.option("--resume", is_flag=True, help="Go on from the recorded trials.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def fit(
    *,
    oof: str,
    study: str,
    spec: str,
    members: str | None,
    trials: int | None,
    seed: int | None,
    jobs: int,
    storage: str | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Tune a blend on the store OOF; print its scores and write its frozen spec.

    The trials are kept in a journal beside the spec; a fit that was interrupted goes on with
    --resume and ends as if it had not been.
    """
    from ensembler import api

    with stages() as progress:
        result = api.fit(
            oof,
            study=study,
            members=members.split(",") if members else None,
            trials=trials,
            seed=seed,
            jobs=jobs,
            spec=spec,
            storage=storage,
            resume=resume,
            progress=progress,
        )
    for warning in result.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(_summary(result, spec)))
    else:
        click.echo(f"{result}\n\nwrote {spec} (digest {result.spec.digest[:12]})")


def _summary(result: FitResult, path: str) -> dict[str, object]:
    spec, scores = result.spec, result.spec.scores
    blended = {member.name: member for member in spec.blend.members}
    return {
        "score": scores.in_sample,
        "held_out": scores.held_out and scores.held_out.model_dump(),
        "baselines": scores.baselines and scores.baselines.model_dump(),
        "members": {
            name: {
                "weight": blended[name].weight if name in blended else 0.0,
                "norm": blended[name].norm if name in blended else None,
                **score.model_dump(),
            }
            for name, score in scores.members.items()
        },
        "prior": spec.blend.prior.weight,
        "centred": spec.blend.centred,
        "rows": scores.rows,
        "groups": scores.groups,
        "trials": spec.provenance.trials,
        "warnings": list(result.warnings),
        "spec": path,
        "digest": spec.digest,
        "seconds": round(result.seconds, 3),
    }
