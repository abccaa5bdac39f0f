"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Sequence

import click


def _names(_: click.Context, __: click.Parameter, listed: str | None) -> list[str] | None:
    """The names between the commas; None where the option is not given."""
    if listed is None:
        return None
    names = [name.strip() for name in listed.split(",") if name.strip()]
    if not names:
        raise click.BadParameter("none is named; name some, or leave the option out for all")
    return names


def _mix(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, float] | None:
    """Shares by source, from words like "sd=.7"."""
    mix = {}
    for word in given:
        source, equals, share = word.rpartition("=")
        if not equals or not source:
            raise click.BadParameter(f"{word!r} is no source=weight, as in sd=.7")
        if source in mix:
            raise click.BadParameter(f"source {source!r} is given twice")
        try:
            mix[source] = float(share)
        except ValueError:
            raise click.BadParameter(f"{share!r} is no number, as in {source}=.7") from None
    return mix or None


members_option = click.option(
    "--members", callback=_names, metavar="A,B*", help="Only these members; patterns are welcome."
)

corpus_option = click.option(
    "--corpus", metavar="FILE", help="What `ensembler data corpus` wrote: prompts in general."
)

target_mix_option = click.option(
    "--target-mix",
    multiple=True,
    callback=_mix,
    metavar="SOURCE=WEIGHT",
    help="Shares of sources in what is to be predicted.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout."
)
