"""Bars on a terminal: those of a part of the work go when the next part begins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import rich.progress

from ensembler.cli.progress import stages


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """`shown()`: the stages whose bars are on the screen."""
    made: list[rich.progress.Progress] = []
    begin = rich.progress.Progress.start

    def watched(bars: rich.progress.Progress) -> None:
        made.append(bars)
        begin(bars)

    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes stderr for a terminal
    monkeypatch.setattr(rich.progress.Progress, "start", watched)
    return lambda: [task.description for task in made[-1].tasks]


def test_the_bars_of_a_fold_go_when_the_next_fold_begins(shown: Callable[[], list[str]]) -> None:
    with stages("images") as advance:
        advance("encoding prompts", 5, 5)
        for fold in range(3):
            for stage in ("training", "validating", "training"):
                advance(f"fold {fold}: {stage}", 1, 2)
            bars = [f"fold {fold}: training", f"fold {fold}: validating"]
            assert shown() == ["encoding prompts", *bars]
        advance("computing features", 1, 2)
        assert shown() == ["encoding prompts", *bars, "computing features"]
