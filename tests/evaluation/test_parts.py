"""What blenders are made of, and whether a corpus tells them anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.fixed import Fixed
from ensembler.blenders.gains import Gains
from ensembler.blenders.nested import Nested
from ensembler.blenders.registry import parse_blender
from ensembler.evaluation.parts import as_plain_data, parts_of, reads_corpus, without_corpus
from ensembler.files import canonical_json


@dataclass(frozen=True)
class Quiet:
    """Options that no repr tells: one is left out, the other's is mostly dots."""

    depth: int = field(default=1, repr=False)
    table: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2000), hash=False)


def test_parts_are_the_whole_chain_and_what_stands_in_brackets() -> None:
    chain = parse_blender("gated+ridge+gains")
    assert [part.name for part in parts_of(chain)] == [
        "weighted+gated+ridge+gains", "weighted+gated+ridge", "weighted+gated", "weighted",
    ]  # fmt: skip
    nested = Nested(children=(parse_blender("greedy"), chain))
    assert [part.name for part in parts_of(nested)][1:3] == ["greedy", chain.name]


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("weighted", False),
        ("gains", True),
        ("gains+ridge", True),
        ("gains:basis=corpus", True),
        ("gains:basis=targets", False),
        ("nested", False),
        ("nested+gains", True),
    ],
)
def test_only_gains_in_the_basis_of_a_corpus_read_one(name: str, reads: bool) -> None:
    assert reads_corpus(parse_blender(name)) == reads


def test_without_a_corpus_only_open_bases_are_settled() -> None:
    assert without_corpus(parse_blender("gains+ridge")) == parse_blender(
        "gains:basis=targets+ridge"
    )
    for name in ("weighted:shrinkage=auto", "gains:basis=coordinates", "nested"):
        assert without_corpus(parse_blender(name)) == parse_blender(name)


def test_plain_data_tell_of_options_that_a_repr_leaves_out() -> None:
    table = np.zeros(2000)
    table[1000] = 1.0
    others: list[Any] = [Quiet(), Quiet(depth=2), Quiet(table=table)]
    assert repr(others[0]) == repr(others[1]) == repr(others[2])
    chains = [Gains(base=other) for other in others]
    for blenders in (others, chains):
        assert len({canonical_json(as_plain_data(blender)) for blender in blenders}) == 3
    assert as_plain_data(Quiet()) == as_plain_data(Quiet())


def test_plain_data_differ_wherever_blenders_do() -> None:
    names = ("greedy", "greedy:bags=3", "gains", "kernel", "nested", "nested(greedy, gains)")
    fixed = [Fixed(weights={"m0": 1.0}), Fixed(weights={"m0": 1.0, "m1": 2.0}), Fixed()]
    told = [canonical_json(as_plain_data(b)) for b in (*map(parse_blender, names), *fixed)]
    assert len(set(told)) == len(told)
    turned = Fixed(weights={"m1": 2.0, "m0": 1.0})
    assert canonical_json(as_plain_data(turned)) == canonical_json(as_plain_data(fixed[1]))
