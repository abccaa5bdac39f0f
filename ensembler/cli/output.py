"""Results on stdout for a script to read."""

from __future__ import annotations

import json
import sys

import click


def print_json(document: object) -> None:
    """Print a command's result as one JSON object on one line.

    Characters beyond ASCII stand as they are; they are escaped where stdout's encoding lacks one
    of them, as every encoding lacks the bytes of a path that is not UTF-8.

    Args:
        document: plain data.
    """
    text = json.dumps(document, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document)
    click.echo(text)
