"""Contestants of a comparison: registered blenders, and the fits of frozen specs repeated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ensembler.blenders.contract import Blender
from ensembler.blenders.fixed import Fixed
from ensembler.blenders.registry import blender_names, parse_blender
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.budget import affordable_members
from ensembler.errors import InputError, SpecError, first_few
from ensembler.evaluation.parts import parts_of, without_corpus
from ensembler.fitting.inputs import make_space
from ensembler.fitting.narrowing import limit_members
from ensembler.search.definition import StudyDefinition, parse_study
from ensembler.search.space import Space
from ensembler.spec.loading import load_spec
from ensembler.spec.model import EnsembleSpec
from ensembler.store.corpus import Corpus
from ensembler.store.mix import mix_text
from ensembler.store.reader import Store

# Each step lifts what the last one left, and gains do most at the end.
CHAINS = ("gated+gains", "gated+ridge+gains", "gated+kernel+gains", "nested+gains")
AUTO = "auto"  # to `fit`: whichever blender a comparison of all chooses
NEEDS_WEIGHTS = "fixed"  # has nothing to compare until a study or a spec gives its weights


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A blender, and the members and settings it is fitted with.

    Attributes:
        blender: what is fitted.
        space: its study on the store.
    """

    blender: Blender
    space: Space

    @property
    def seed(self) -> int:
        """The seed of its fits, its study's."""
        return self.space.definition.seed


def contestants(
    store: Store,
    definition: StudyDefinition,
    blenders: Sequence[str] | None,
    specs: Iterable[str | Path],
    *,
    corpus: Corpus | None = None,
    target_mix: Mapping[str, float] | None = None,
) -> dict[str, Contestant]:
    """All contestants, by name.

    Args:
        store: with targets and members.
        definition: the study of the blenders that are named.
        blenders: names or chains; None takes every registered one, but none where specs are named.
        specs: files of frozen specs.
        corpus: that the evaluation is given, or None.
        target_mix: source → share that the evaluation is for, or None.

    Returns:
        Name → contestant; a spec goes by its file's name.

    Raises:
        InputError: an unknown blender, one that `make_contestant` refuses, or two contestants
            of one name.
        SpecError: a spec is broken, or was fitted on other members than the store's, with another
            corpus or for another mix of sources.
        StoreError: the store has no targets or no members.
        StudyError: the study does not fit the store.
    """
    space = make_space(definition, store)
    paths = [Path(spec) for spec in specs]
    if blenders is None:
        blenders = () if paths else every_blender(definition)
    if AUTO in blenders:
        raise InputError(
            f"{AUTO!r} is what `fit` may be left to choose; leave --blender out to compare every"
            " blender and see which it would be"
        )
    named = [(text, make_contestant(parse_blender(text), space, store)) for text in blenders]
    for path in paths:
        spec = load_spec(path)
        _check_mix(spec, path, target_mix)
        named.append((path.name, _of_spec(spec, path, store, corpus)))
    found = dict(named)
    if len(found) < len(named):
        twice = first_few(sorted({name for name, _ in named if _count(named, name) > 1}))
        raise InputError(f"two contestants are called {twice}; name each once")
    return found


def every_blender(definition: StudyDefinition) -> tuple[str, ...]:
    """The blenders compared by default: all that are registered, and chains of the best."""
    given = bool(definition.fixed)
    return (*(name for name in blender_names() if given or name != NEEDS_WEIGHTS), *CHAINS)


def make_contestant(blender: Blender, space: Space, store: Store) -> Contestant:
    """Pair a blender with the space it is fitted on, if it can be fitted there.

    Args:
        blender: with all its parts.
        space: its study on the store.
        store: with the members.

    Raises:
        InputError: no member fits into the budget, a member's seconds are unknown, or there are no
            fixed weights to replay.
    """
    for part in parts_of(blender):
        if isinstance(part, Weighted) and part.budget is not None:
            affordable_members(store, space.names, part.budget)
        if isinstance(part, Fixed):
            part.weights_of(space.names, space)
    return Contestant(blender=blender, space=limit_members(space, blender))


def _of_spec(spec: EnsembleSpec, path: Path, store: Store, corpus: Corpus | None) -> Contestant:
    """A spec's study, to be fitted anew: the spec's own weights have seen all rows."""
    fitted = {member.name: member.sha256 for member in spec.weighted.members}
    here = {record.name: record.sha256 for record in store.manifest.members}
    other = [name for name, sha256 in fitted.items() if here.get(name) != sha256]
    if other:
        raise SpecError(
            f"{path}: {store.path} does not hold the member {first_few(other)} that the spec was"
            " fitted on; `ensembler spec verify --store` tells more: name the store it came from"
        )
    study = _definition(spec.provenance.study, path)
    blender = parse_blender(str(spec.provenance.study.get("blender", "weighted")))
    known = spec.provenance.study.get("corpus")
    if known is None:
        blender = without_corpus(blender)  # the evaluation's may be for others
    elif corpus is None or corpus.sha256 != known:
        given = "none is given" if corpus is None else f"{corpus.sha256[:12]}… is given"
        raise SpecError(
            f"{path} was fitted with the corpus {str(known)[:12]}…, but {given}; name the same file"
            " with --corpus"
        )
    return make_contestant(blender, make_space(study, store), store)


def _check_mix(spec: EnsembleSpec, path: Path, mix: Mapping[str, float] | None) -> None:
    """Refuse to score a fit for one mix of sources under another."""
    own: Mapping[str, float] | None = spec.provenance.study.get("target_mix")
    if (own and dict(own)) != (mix and dict(mix)):
        raise SpecError(
            f"{path} was fitted for {_mix_in_words(own)}, but the evaluation is for"
            f" {_mix_in_words(mix)}; give the spec's own --target-mix, or compare its blender with"
            " --blender instead"
        )


def _mix_in_words(mix: Mapping[str, float] | None) -> str:
    return "the rows as they are" if mix is None else f"the mix {mix_text(mix)}"


def _definition(study: Mapping[str, object], path: Path) -> StudyDefinition:
    keys = StudyDefinition.model_fields
    return parse_study({key: study[key] for key in keys if key in study}, f"{path}: study")


def _count(named: Sequence[tuple[str, Contestant]], name: str) -> int:
    return sum(name == other for other, _ in named)
