"""`ensembler fit`: tune a blend on a store, print its scores, write its spec."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ensembler.cli.interrupting import resumable
from ensembler.cli.options import (
    corpus_option,
    jobs_option,
    json_option,
    members_option,
    seed_option,
    study_option,
    target_mix_option,
)
from ensembler.cli.output import print_json

if TYPE_CHECKING:
    from ensembler.api import FitResult
    from ensembler.spec.model import EnsembleSpec


@click.command()
@click.argument("oof")
@click.option(
    "--blender",
    default="weighted",
    show_default=True,
    metavar="NAME",
    help="Blender to fit, a chain like gated+ridge, or auto, which compares all.",
)
@study_option
@click.option(
    "--spec",
    default="ensemble.json",
    show_default=True,
    metavar="FILE",
    help="Spec file to write; the journal of trials lies beside it.",
)
@members_option
@corpus_option
@target_mix_option
@click.option(
    "--budget",
    metavar="TIME",
    help="Time per image that the members may take together, as in 1.2s.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="the study's",
    help="Number of trials; the baselines always run.",
)
@seed_option
@jobs_option
@click.option(
    "--storage", metavar="URL", help="SQL database to keep the trials in, instead of the journal."
)
@click.option(
    "--resume", is_flag=True, help="Go on from the trials that an interrupted fit recorded."
)
@click.option(
    "--join", is_flag=True, help="Share the trials with every fit that joins the --storage."
)
@json_option
def fit(
    *,
    oof: str,
    blender: str,
    study: str,
    spec: str,
    members: list[str] | None,
    corpus: str | None,
    target_mix: dict[str, float] | None,
    budget: str | None,
    trials: int | None,
    seed: int | None,
    jobs: int,
    storage: str | None,
    resume: bool,
    join: bool,
    as_json: bool,
) -> None:
    """Tune a blend on the store OOF; print its scores and write its frozen spec.

    The trials are kept in a journal beside the spec; a fit that was interrupted goes on with
    --resume and ends as if it had not been. Started with the same --storage and --join on several
    machines it is one fit, whose trials they share out; each of them writes the same spec.
    """
    from ensembler import api

    with _told_on_stderr(), resumable(_go_on(), since="study") as progress:
        result = api.fit(
            oof,
            blender=blender if budget is None else _within(blender, budget),
            study=study,
            members=members,
            corpus=corpus,
            target_mix=target_mix,
            trials=trials,
            seed=seed,
            jobs=jobs,
            spec=spec,
            storage=storage,
            resume=resume,
            join=join,
            progress=progress,
        )
    for warning in result.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        print_json(_summary(result, spec))
    else:
        sidecar = _sidecar(result.spec, spec)
        beside = "" if sidecar is None else f" and, which belongs to it, {sidecar}"
        click.echo(f"{result}\n\nwrote {spec} (digest {result.spec.digest[:12]}){beside}")


def _within(blender: str, budget: str) -> str:
    """The weighted blender that keeps a budget."""
    from ensembler.errors import InputError
    from ensembler.inference.deadline import seconds_of

    try:
        weighted = f"weighted:budget={seconds_of(budget):g}"
    except InputError as error:
        raise click.UsageError(
            f"--budget: {budget!r} is not a duration; give one like 1.2s"
        ) from error
    if blender != "weighted":
        raise click.UsageError(
            f"--budget is for plain weights, not for --blender {blender}; a chain keeps one as in"
            f" --blender {weighted}+gains"
        )
    return weighted


def _sidecar(spec: EnsembleSpec, path: str) -> str | None:
    """The file beside a composed spec that belongs to it."""
    from ensembler.spec.tensors import sidecar_path

    return None if spec.tensors is None else str(sidecar_path(Path(path), spec.tensors.sha256))


def _go_on() -> str:
    """The command that goes on from the recorded trials, without a storage's password."""
    from ensembler.search.place import without_password

    given = [without_password(word) for word in sys.argv[1:]]
    if "--join" not in given and "--resume" not in given:
        given.append("--resume")
    return f"Go on with: {shlex.join(['ensembler', *given])}"


@contextmanager
def _told_on_stderr() -> Iterator[None]:
    """What the library logs goes to stderr, a line each."""
    log, handler = logging.getLogger("ensembler"), _Line()
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(before)
        log.removeHandler(handler)


class _Line(logging.Handler):
    """Prints through whatever stderr is by then: beside progress bars it is another."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


def _summary(result: FitResult, path: str) -> dict[str, object]:
    spec, scores = result.spec, result.spec.scores
    return {
        "score": scores.in_sample,
        "blender": result.blender,
        "status": result.status,
        "held_out": scores.held_out and scores.held_out.model_dump(),
        "baselines": scores.baselines and scores.baselines.model_dump(),
        "members": {name: _member(spec, name) for name in scores.members},
        "prior": spec.weighted.prior.weight,
        "prior_share": scores.prior_share,
        "centred": spec.weighted.centred,
        "rows": scores.rows,
        "groups": scores.groups,
        "folds": scores.folds,
        "dealt_anew": scores.dealt_anew,
        "trials": spec.provenance.trials,
        "preselection": _preselection(result),
        "warnings": list(result.warnings),
        "spec": path,
        "sidecar": _sidecar(spec, path),
        "digest": spec.digest,
        "seconds_per_image": spec.seconds_per_image,
        "seconds": round(result.seconds, 3),
    }


def _preselection(result: FitResult) -> dict[str, object] | None:
    counts = result.spec.provenance.study.get("preselection")
    return counts and {**counts, "seconds": round(result.preselection_s, 3)}


def _member(spec: EnsembleSpec, name: str) -> dict[str, object]:
    member = next((member for member in spec.weighted.members if member.name == name), None)
    found: dict[str, object] = {"weight": 0.0, "norm": None}
    if member is not None:
        found = {"weight": member.weight, "norm": member.norm}
        if member.norm == "power":
            found["alpha"] = member.alpha
    return found | spec.scores.members[name].model_dump()
