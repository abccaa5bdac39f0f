"""Progress on stderr: a bar for each stage; nothing without a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID


@contextmanager
def stages(unit: str | None = None) -> Iterator[Callable[[str, int, int], None]]:
    """Bars that come with the first word of a stage and go when the block ends.

    Those of one part of the work, as "fold 0: training", go when another part begins.

    Args:
        unit: of what is counted, as in "images": its rate is shown, and how long is left.

    Yields:
        A function of (stage, done, total).
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage, done, total: None  # noqa: ARG005 - nobody is watching
        return

    class Rate(ProgressColumn):
        """How many are done in a second, once that is known."""

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.1f} {unit}/s")

    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *((Rate(), TimeRemainingColumn()) if unit else ()),
        console=console,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def advance(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            for other in [one for one in tasks if _are_of_two_parts(one, stage)]:
                bars.remove_task(tasks.pop(other))
            tasks[stage] = bars.add_task(stage, total=total)
        bars.update(tasks[stage], completed=done)

    with bars:
        yield advance


def _are_of_two_parts(one: str, other: str) -> bool:
    """Whether both stages name a part of the work before a colon, and not the same."""
    (part, named, _), (other_part, also_named, _) = one.partition(": "), other.partition(": ")
    return bool(named and also_named) and part != other_part
