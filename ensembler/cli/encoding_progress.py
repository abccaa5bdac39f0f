"""The bar that shows texts being encoded: on stderr, and only in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ensembler.store.encoder import Progress


@contextmanager
def encoding_progress() -> Iterator[Progress]:
    """Show a bar from the first report until the block ends.

    Yields:
        What to pass on as `progress`.
    """
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("encoding texts", total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
