"""Blenders by name: chains, options, and what is refused with which words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Literal

import pytest

from ensembler import plugins
from ensembler.blenders.contract import Blender, FittedBlend, Property
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.gains import Gains
from ensembler.blenders.gated import Gated
from ensembler.blenders.greedy import Greedy
from ensembler.blenders.kernel import Kernel
from ensembler.blenders.nested import Nested
from ensembler.blenders.registry import blender_names, find_blender, parse_blender
from ensembler.blenders.ridge import Ridge
from ensembler.blenders.spelling import spell
from ensembler.blenders.uniform import Uniform
from ensembler.blenders.weighted import Weighted
from ensembler.errors import InputError

HERE = "tests.blenders.test_registry"


@dataclass(frozen=True, kw_only=True)
class Sharpened:
    """A stranger's blender on another."""

    base: Blender = field(default_factory=Weighted)
    power: float = 2.0
    how: Literal["soft", "hard"] = "soft"
    fallback = "weighted"
    properties = frozenset[Property]()

    @property
    def name(self) -> str:
        return f"{self.base.name}+{spell('sharpened', self)}"

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedBlend:
        return self.base.fit(data, held_out, seed)


@dataclass(frozen=True)
class NoBlender:
    """It cannot fit."""

    name = "no_blender"


@dataclass(kw_only=True)
class Changeable:
    """Nothing can be kept by it: its options may change."""

    name = "changeable"
    fallback = "weighted"
    properties = frozenset[Property]()

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedBlend:
        return Weighted().fit(data, held_out, seed)


@pytest.fixture(autouse=True)
def _strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this file has beside the built-in ones."""
    known = plugins.registered(plugins.BLENDERS)

    class Entry(EntryPoint):
        def load(self) -> object:
            return globals()[self.attr]

    own = {
        name: Entry(name, f"{HERE}:{attribute}", plugins.BLENDERS)
        for name, attribute in (
            ("sharpened", "Sharpened"), ("no_blender", "NoBlender"), ("a_function", "spell"),
            ("changeable", "Changeable"),
        )
    }  # fmt: skip
    monkeypatch.setattr(plugins, "registered", lambda _: {**known, **own})


def test_the_built_ins_come_in_by_the_door_of_strangers() -> None:
    assert {
        *("fixed", "gains", "gated", "greedy", "nested"),
        *("ridge", "single_best", "uniform", "weighted"),
    } <= set(blender_names())


def test_every_chain_of_names_stands_left_to_right() -> None:
    chain = parse_blender("greedy + sharpened+sharpened:power=3")
    assert chain == Sharpened(base=Sharpened(base=Greedy()), power=3.0)
    assert parse_blender("sharpened") == Sharpened(base=Weighted())


@pytest.mark.parametrize(
    "blender",
    [
        Weighted(),
        Weighted(shrinkage="auto", objective="soft_worst_source", members_at_most=7),
        Weighted(shrinkage=0.25),
        Greedy(bags=3),
        Sharpened(base=Greedy(share=1.0), how="hard"),
        Nested(children=(Greedy(bags=3), Gated(), Nested(children=(Uniform(),)))),
        Gains(base=Nested(children=(Weighted(), Kernel(base=Gated(), width=3.0)))),
        Ridge(alone=True),
    ],
    ids=lambda blender: str(blender.name),
)
def test_a_name_reads_back_as_the_blender_that_has_it(blender: Blender) -> None:
    assert parse_blender(blender.name) == blender


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("weigted", "no blender named 'weigted'; did you mean 'weighted'?"),
        ("", "no blender named ''; known: "),
        ("weighted+", "no blender named ''; known: "),
        ("greedy:bag=3", "blender 'greedy': no option named 'bag'; did you mean 'bags'?"),
        ("sharpened:base=greedy", "blender 'sharpened': no option named 'base'"),
        ("greedy:bags=few", "blender 'greedy': bags='few' is not accepted: Input should be a va"),
        ("sharpened:how=harder", "how='harder' is not accepted: Input should be 'soft' or 'hard'"),
        ("weighted:shrinkage=2", "weighted: shrinkage is 2.0; give a share of the way in 0..1"),
        ("weighted+greedy", "blender 'greedy' stands on no other: put it first, or leave out"),
        ("gated+ridge:alone=True", "blender 'ridge:alone=True' stands on no other: put it first"),
        ("weighted+nested(greedy)", "blender 'nested(greedy)' stands on no other: put it first"),
        ("nested(greedy, weigted)", "no blender named 'weigted'; did you mean 'weighted'?"),
        ("nested()", "that it is to blend, as in nested(greedy, weighted+kernel), or leave the"),
        ("nested( )+gains", "blender 'nested': there is nothing in its parentheses"),
        ("nested(greedy,)", "no blender named ''; known: "),
        ("nested(greedy", "blender 'nested(greedy': parentheses do not match"),
        ("greedy)+(gains", "blender 'greedy)+(gains': parentheses do not match"),
        (9 * "nested(" + "greedy" + 9 * ")", "or are more than 8 deep; write it as in nested("),
        ("nested(greedy)gains", "after its parentheses comes 'gains'; put : before options, +"),
        ("greedy(weighted)", "blender 'greedy' blends no other blends: leave out its parentheses"),
        ("nested(greedy):groups=True", "the study's groups are the children; leave out the others"),
        (
            "changeable",
            "'changeable' is not one: it is not a frozen dataclass; see ensembler.blenders",
        ),
        ("no_blender", "what is registered as blender 'no_blender' is not one: it lacks prop"),
        ("a_function", "what is registered as blender 'a_function' is not one: it lacks name,"),
    ],
)
def test_what_names_no_blender_is_refused_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        parse_blender(text)


def test_children_may_be_chains_with_options_and_hold_others() -> None:
    found = parse_blender(" nested( greedy:bags=3, gated+kernel, nested(uniform) )+gains")
    inner = Nested(children=(Uniform(),))
    children = (Greedy(bags=3), Kernel(base=Gated()), inner)
    assert found == Gains(base=Nested(children=children))


def test_a_blender_that_cannot_be_imported_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = EntryPoint("lost", "no_such_package.blender:Lost", plugins.BLENDERS)
    monkeypatch.setattr(plugins, "registered", lambda _: {"lost": lost})
    with pytest.raises(InputError, match="blender 'lost' of an unknown package cannot be imported"):
        find_blender("lost")


def test_two_packages_with_one_blenders_name_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    entries = [EntryPoint("mine", f"{package}:Mine", plugins.BLENDERS) for package in "ab"]
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries if group else [])
    with pytest.raises(InputError, match="'mine' is registered twice under"):
        plugins.registered(plugins.BLENDERS)
