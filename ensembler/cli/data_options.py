"""Options that several commands of `ensembler data` have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ensembler.cli.options import json_option
from ensembler.curation.pairs_images import WORKERS
from ensembler.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])

encoder_option = click.option(
    "--encoder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A sentence-transformers folder for the prompts; default: the MiniLM that is installed.",
)

out_option = click.option(
    "--out",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The table to write: .csv, .tsv or .parquet.",
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=WORKERS,
    show_default=True,
    help="Threads that work on images.",
)

_COMPARING = (
    click.option(
        "--by",
        type=click.Choice(["prompt", "image"]),
        default="prompt",
        show_default=True,
        help="What is compared: prompts, or images by --vectors.",
    ),
    click.option(
        "--vectors",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="Vectors by image id: a folder that `data embed` made, a .parquet, .npz or .csv, or an"
        " .npy in the pairs' order.  [default: the prompts are embedded]",
    ),
    encoder_option,
    out_option,
    json_option,
)


def comparing_options(command: Command) -> Command:
    """Give a command the options by which pairs are compared and written."""
    for option in reversed(_COMPARING):
        command = option(command)
    return command


def check_comparable(by: str, vectors: Path | None, encoder: Path | None) -> None:
    """Refuse options that do not go together.

    Raises:
        InputError: images without vectors, or an encoder of prompts that are not encoded.
    """
    if by == "image" and vectors is None:
        raise InputError(
            "--by image compares what a tower makes of the images: give its vectors by image id"
            " with --vectors"
        )
    if vectors is not None and encoder is not None:
        raise InputError("--encoder makes vectors, and --vectors gives them; leave one out")
