"""Long names of blends in a narrow column."""

from __future__ import annotations

import pytest

from ensembler.report.comparison_table import NAME, _folded


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("weighted", ["weighted"]),
        ("gated+kernel+gains", ["gated+kernel+gains"]),
        ("weighted+gated+kernel+gains", ["weighted+gated", "+kernel+gains"]),
        ("weighted:shrinkage=auto+gains", ["weighted:shrinkage=auto", "+gains"]),
        ("my+ensemble.json", ["my+ensemble.json"]),
    ],
)
def test_a_long_chain_breaks_before_a_plus(name: str, lines: list[str]) -> None:
    assert _folded(name).split("\n") == lines
    assert all(len(line) <= NAME or "+" not in line[1:] for line in lines)
