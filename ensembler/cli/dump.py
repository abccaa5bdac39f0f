"""`ensembler dump`: a predictor's out-of-fold member, from images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ensembler.cli.interrupting import resumable
from ensembler.cli.main import DEGRADED
from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
from ensembler.dumping.dump import BATCH, WORKERS, DumpReport
from ensembler.predicting.batches import PRECISIONS, Precision
from ensembler.predicting.contract import Learner
from ensembler.predicting.devices import AUTO
from ensembler.predicting.registry import find_adapter

if TYPE_CHECKING:
    from ensembler.store.model import Dtype, MemberRecord


@click.command()
@click.argument("oof", type=click.Path(path_type=Path))
@click.argument("name")
@click.option(
    "--predictor",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Definition of the predictor, a TOML file; its paths are relative to it.",
)
@click.option(
    "--images",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the samples' images, named by id.",
)
@click.option(
    "--device",
    default=AUTO,
    show_default=True,
    metavar="NAME",
    help="Device to embed on, as torch names it; auto takes the first GPU, or else the CPU.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=BATCH,
    show_default=True,
    metavar="N",
    help="Number of images embedded at once; halved where memory ends.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    show_default=True,
    help="Precision of the arithmetic; what overflows is done again in float32.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=WORKERS,
    show_default=True,
    metavar="N",
    help="Number of threads that decode images.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Type of the numbers stored.",
)
@click.option("--partial", is_flag=True, help="Leave out samples without an image.")
@click.option(
    "--failures",
    metavar="FILE",
    type=click.Path(path_type=Path),
    show_default="NAME.failures.csv",
    help="List to write of images that gave no vector.",
)
@click.option(
    "--work",
    metavar="DIR",
    type=click.Path(path_type=Path),
    show_default=".OOF.NAME.dump beside OOF",
    help="Folder to keep what is embedded so far in.",
)
@click.option(
    "--image-cache",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder to keep resized images in, for other dumps and `predict`.",
)
@json_option
@click.pass_context
def dump(
    context: click.Context,
    oof: Path,
    name: str,
    predictor: Path,
    images: Path,
    device: str,
    batch: int,
    precision: Precision,
    workers: int,
    dtype: Dtype,
    partial: bool,
    failures: Path | None,
    work: Path | None,
    image_cache: Path | None,
    as_json: bool,
) -> None:
    """Embed the samples of store OOF and add them as member NAME.

    Each row comes from the checkpoint that has not seen its fold; a row that none may embed, as one
    in no fold, stays absent. A predictor with [files] only counts as never having seen the data:
    if it has, its score is too good. The same command goes on after an interruption. Exits with 4
    when images gave no vector.
    """
    from ensembler import api

    with resumable() as advance:
        report = api.dump(
            oof,
            name,
            predictor=predictor,
            images=images,
            device=device,
            batch=batch,
            precision=precision,
            workers=workers,
            dtype=dtype,
            partial=partial,
            failures=failures,
            work=work,
            image_cache=image_cache,
            progress=advance,
        )
    if as_json:
        print_json(_document(oof, report))
    else:
        click.echo(_summary(report))
    if report.cache_fault:
        click.echo(f"Images were decoded more often than need be: {report.cache_fault}", err=True)
    if report.failures:
        click.echo(
            f"Warning: {len(report.failures)} images gave no vector; {report.failures_file} says"
            " why.",
            err=True,
        )
        context.exit(DEGRADED)


def _document(oof: Path, report: DumpReport) -> dict[str, object]:
    member = report.member
    return {
        "store": str(oof),
        "member": member.name,
        "rows": member.rows,
        "coverage": _coverage(report),
        "zero_rows": member.zero_rows,
        "dim": member.dim,
        "dtype": member.dtype,
        "captions": member.captions,
        "sha256": member.sha256,
        "checkpoints": len(member.origin.checkpoints),
        "seconds_per_image": member.origin.seconds_per_image,
        "mean_norm": member.origin.mean_norm,
        "missing_images": report.missing,
        "failed_images": dict(report.failures),
        "failures": None if report.failures_file is None else str(report.failures_file),
        "uncovered": {str(fold): rows for fold, rows in report.uncovered.items()},
        "resumed": report.resumed,
        "learned_in": None if report.learned_in is None else str(report.learned_in),
        "cache_fault": report.cache_fault,
    }


def _summary(report: DumpReport) -> str:
    member = report.member
    seconds = member.origin.seconds_per_image
    whole = f"{member.name}: {member.rows} rows, {_coverage(report):.1%} of the samples"
    pace = "" if seconds is None else f", {seconds} s for an image"
    lines = [f"{whole}; {member.dtype}{pace}"]
    if report.resumed:
        lines.append(f"  {report.resumed} images had been embedded before an interruption")
    if report.learned_in:
        lines.append(
            f"  what it learned from the store is in {report.learned_in}, since its own folder is"
            " read-only: give `ensembler predict` both as --checkpoints"
        )
    if report.missing:
        lines.append(f"  {report.missing} samples have no image")
    for fold, rows in report.uncovered.items():
        where = "in no fold" if fold < 0 else f"of fold {fold}, which no checkpoint left out"
        lines.append(f"  {rows} samples {where}, have no row")
    if _counts_as_unseen(member):
        lines.append(
            "  no checkpoints of folds: it counts as never having seen the data, else its score is"
            " too good"
        )
    return "\n".join(lines)


def _counts_as_unseen(member: MemberRecord) -> bool:
    """Whether every row came from the same files, which were not learned from the store itself."""
    name = member.origin.predictor
    adapter: object = None if name is None else find_adapter(name)
    of_folds = any(one.fold is not None for one in member.origin.checkpoints)
    return not of_folds and not isinstance(adapter, Learner)


def _coverage(report: DumpReport) -> float:
    return (report.member.rows - report.member.zero_rows) / report.samples
