"""The common style of all tables, and their rendering as text and HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

WIDTH = 80  # columns; fits a terminal, a log and a README


def new_table(name: str, *numbers: str) -> Table:
    """Make an empty table: a column of names, then columns of numbers.

    Args:
        name: heading of the first column.
        numbers: headings of the other columns.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(name, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def as_text(renderable: RenderableType) -> str:
    """A renderable as plain text, WIDTH columns wide."""
    from rich.console import Console

    console = Console(
        width=WIDTH,
        color_system=None,
        markup=False,
        emoji=False,
        highlight=False,
        force_jupyter=False,  # or a notebook would display an empty output of rich's own
    )
    with console.capture() as capture:
        console.print(renderable)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def as_html(renderable: RenderableType) -> str:
    """A renderable as an HTML fragment, for a notebook."""
    import html

    return f"<pre>{html.escape(as_text(renderable))}</pre>"
