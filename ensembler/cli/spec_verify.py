"""`ensembler spec verify`: check a spec's digest and, against a store, its score."""

from __future__ import annotations

import click

from ensembler.cli.main import FINDINGS
from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
from ensembler.spec.loading import load_spec


@click.command()
@click.argument("spec")
@click.option(
    "--store", metavar="OOF", help="Store that the blend was fitted on, to score it there again."
)
@json_option
@click.pass_context
def verify(context: click.Context, *, spec: str, store: str | None, as_json: bool) -> None:
    """Check that SPEC is as it was written; with --store, that it is still that store's.

    Exits with 3 on findings; a spec that was changed is bad input, exit 2.
    """
    from ensembler.spec import verify as against
    from ensembler.store.reader import Store

    frozen = load_spec(spec)
    verified = against.verify(frozen, Store.open(store)) if store else None
    findings = list(verified.findings) if verified else []
    if as_json:
        result = {
            "digest": frozen.digest,
            "score": verified.score if verified else None,
            "findings": findings,
        }
        print_json(result)
    else:
        click.echo(f"{spec}: digest {frozen.digest[:12]} fits the contents")
        if verified and verified.score is not None:
            stated = frozen.scores.in_sample
            click.echo(f"score on {store}: {verified.score:.7f} (the spec says {stated:.7f})")
        for finding in findings:
            click.echo(finding)
    context.exit(FINDINGS if findings else 0)
