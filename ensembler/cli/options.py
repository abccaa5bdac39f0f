"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click


def _names(_: click.Context, __: click.Parameter, lists: Sequence[str]) -> list[str] | None:
    """The names between the commas of all lists; None where the option is not given."""
    if not lists:
        return None
    names = [name.strip() for listed in lists for name in listed.split(",") if name.strip()]
    if not names:
        raise click.BadParameter("none is named; name some, or leave the option out for all")
    return names


def _mix(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, float] | None:
    """Shares by source, from words like "sd=.7"."""
    mix = {}
    for word in given:
        source, equals, share = word.rpartition("=")
        if not equals or not source:
            raise click.BadParameter(f"{word!r} is not of the form source=weight, as in sd=.7")
        if source in mix:
            raise click.BadParameter(f"source {source!r} is given twice")
        try:
            mix[source] = float(share)
        except ValueError:
            raise click.BadParameter(f"{share!r} is not a number, as in {source}=.7") from None
    return mix or None


study_option = click.option(
    "--study",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help="Study that says what is searched: one of `study list`, or a TOML file.",
)

members_option = click.option(
    "--members",
    multiple=True,
    callback=_names,
    metavar="A,B*",
    show_default="the study's",
    help="Members to blend: names or patterns, separated by commas; repeatable.",
)

corpus_option = click.option(
    "--corpus",
    metavar="FILE",
    help="Corpus of prompts in general, made by `data corpus`, for blenders that take one.",
)

target_mix_option = click.option(
    "--target-mix",
    multiple=True,
    callback=_mix,
    metavar="SOURCE=WEIGHT",
    show_default="the store's",
    help="Share of a source in what is to be predicted, as in sd=.7; repeatable.",
)

seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    show_default="the study's",
    help="Random seed.",
)

jobs_option = click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of threads; the result is the same for any.",
)

encoder_option = click.option(
    "--encoder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    show_default="the MiniLM that is installed",
    help="Folder of the sentence-transformers model that encodes the texts.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout."
)
