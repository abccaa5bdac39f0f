"""`ensembler`: the entry point, and the one place where errors become exit codes."""

from __future__ import annotations

import sys

import click

from ensembler import __version__
from ensembler.cli.lazy import LazyGroup
from ensembler.errors import EnsemblerError

BAD_INPUT = 2
FINDINGS = 3  # audit, verify
DEGRADED = 4  # done, but without all members
INTERRUPTED = 130

_COMMANDS = {
    "fit": ("ensembler.cli.fit:fit", "Tune a blend on a store; print its scores, write its spec."),
    "evaluate": (
        "ensembler.cli.evaluate:evaluate",
        "Compare blends on rows that their fits never saw.",
    ),
    "predict": ("ensembler.cli.predict:predict", "Blend images or embeddings into submission.csv."),
    "store": ("ensembler.cli.store:store", "Create, fill, show and audit an OOF store."),
    "data": ("ensembler.cli.data:data", "Curate image–prompt pairs; make a corpus for a fit."),
    "train": ("ensembler.cli.train:train", "Train a predictor's checkpoints, one for each fold."),
    "recipe": ("ensembler.cli.recipe:recipe", "List and show recipes to train predictors by."),
    "dump": ("ensembler.cli.dump:dump", "Add a predictor's out-of-fold rows to a store."),
    "predictors": ("ensembler.cli.predictors:predictors", "List and show installed predictors."),
    "spec": ("ensembler.cli.spec:spec", "Show, verify or export a frozen spec."),
    "study": ("ensembler.cli.study:study", "List and show studies; look at recorded trials."),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="ensembler")
def cli() -> None:
    """Blend out-of-fold embeddings: exact weights, honest scores, a frozen spec, a submission."""


def main() -> None:
    """Run the command line.

    Exits: 0 done; 1 a bug, with its traceback; 2 bad input, one paragraph on stderr; 3 findings;
    4 done, but degraded; 130 interrupted.
    """
    try:
        sys.exit(cli.main(prog_name="ensembler", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    except EnsemblerError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__cause__, EOFError):  # click takes any for Ctrl-D at a prompt
            raise error.__cause__ from None
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
