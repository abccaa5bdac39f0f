"""`ensembler dump`: a predictor's out-of-fold member, from images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ensembler.cli.main import DEGRADED
from ensembler.cli.options import json_option
from ensembler.dumping.dump import BATCH, WORKERS, DumpReport
from ensembler.inference.devices import AUTO
from ensembler.predicting.batches import PRECISIONS, Precision
from ensembler.predicting.contract import Learner
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
    help="The predictor's definition, a TOML file; its paths are relative to it.",
)
@click.option(
    "--images",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of the samples' images, named by id.",
)
@click.option(
    "--device",
    default=AUTO,
    show_default=True,
    help="As torch names it; auto takes the first CUDA device, or else the CPU.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=BATCH,
    show_default=True,
    help="Images embedded at once; halved where memory ends.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    show_default=True,
    help="Of the arithmetic; what overflows is done again in float32.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=WORKERS,
    show_default=True,
    help="Threads that decode images.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="What is stored.",
)
@click.option("--partial", is_flag=True, help="Leave samples without an image without a row.")
@click.option(
    "--failures",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where images that gave no vector are listed.  [default: NAME.failures.csv]",
)
@click.option(
    "--work",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Keeps what is embedded so far.  [default: .OOF.NAME.dump beside OOF]",
)
@click.option(
    "--image-cache",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Keeps images, resized, for other dumps and `predict`.",
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
    from ensembler.cli.progress import stages

    with stages() as advance:
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
    click.echo(json.dumps(_document(oof, report), ensure_ascii=False) if as_json else _said(report))
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
        "cache_fault": report.cache_fault,
    }


def _said(report: DumpReport) -> str:
    member = report.member
    seconds = member.origin.seconds_per_image
    whole = f"{member.name}: {member.rows} rows, {_coverage(report):.1%} of the samples"
    lines = [f"{whole}; {member.dtype}, {seconds} s for an image"]
    if report.resumed:
        lines.append(f"  {report.resumed} images had been embedded before an interruption")
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
