"""Options shared by several commands of `ensembler data`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ensembler.cli.options import encoder_option, json_option
from ensembler.curation.pairs_images import WORKERS
from ensembler.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])

EMBEDDINGS_KEPT: Final = "What was embedded is kept: the same command goes on from there."

out_option = click.option(
    "--out",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Table to write: .csv, .tsv or .parquet.",
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=WORKERS,
    show_default=True,
    metavar="N",
    help="Number of threads that work on images.",
)

_COMPARING = (
    click.option(
        "--by",
        type=click.Choice(["prompt", "image"]),
        default="prompt",
        show_default=True,
        help="Compare prompts, or images by their --vectors.",
    ),
    click.option(
        "--vectors",
        metavar="PATH",
        type=click.Path(path_type=Path),
        show_default="the prompts, embedded",
        help="Vectors by image id: a folder that `data embed` made, a .parquet, .npz or .csv, or an"
        " .npy in the pairs' order.",
    ),
    encoder_option,
    out_option,
    json_option,
)


def comparing_options(command: Command) -> Command:
    """Add the options for comparing and writing pairs to a command."""
    for option in reversed(_COMPARING):
        command = option(command)
    return command


def check_comparable(by: str, vectors: Path | None, encoder: Path | None) -> None:
    """Refuse options that contradict one another.

    Raises:
        InputError: images without vectors, or an encoder of prompts that are not encoded.
    """
    if by == "image" and vectors is None:
        raise InputError(
            "--by image compares vectors of images: give them, by image id, with --vectors"
        )
    if vectors is not None and encoder is not None:
        raise InputError("--encoder makes vectors and --vectors gives them: drop one of the two")
