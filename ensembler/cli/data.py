"""`ensembler data`: the group of its commands."""

from __future__ import annotations

import click

from ensembler.cli.lazy import LazyGroup

_COMMANDS = {
    "import": (
        "ensembler.cli.data_import:import_",
        "Turn captions or metadata into a table of pairs.",
    ),
    "filter": ("ensembler.cli.data_filter:filter_", "Drop pairs that are not worth training on."),
    "resize": ("ensembler.cli.data_resize:resize", "Write pairs' images as WebDataset shards."),
    "embed": ("ensembler.cli.data_embed:embed", "Turn the prompts of pairs into targets."),
    "dedupe": ("ensembler.cli.data_dedupe:dedupe", "Leave out near-duplicates."),
    "fold": ("ensembler.cli.data_fold:fold", "Deal pairs to folds, similar ones to the same."),
    "corpus": ("ensembler.cli.data_corpus:corpus", "Turn a list of prompts into a corpus file."),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def data() -> None:
    """Curate image–prompt pairs; make a corpus for a fit."""
