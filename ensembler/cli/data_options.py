"""Options of the commands that compare pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ensembler.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
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
    click.option(
        "--encoder",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="A sentence-transformers folder for the prompts; default: the MiniLM that is"
        " installed.",
    ),
    click.option(
        "--out",
        required=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The table to write: .csv, .tsv or .parquet.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout."),
)


def comparing_options(command: Command) -> Command:
    """Give a command the options by which pairs are compared and written."""
    for option in reversed(_OPTIONS):
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
