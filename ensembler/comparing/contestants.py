"""Who is compared: registered blenders, and frozen specs with the way they were fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ensembler.blenders.contract import Blender
from ensembler.blenders.registry import blender_names, parse_blender
from ensembler.comparing.parts import without_corpus
from ensembler.errors import InputError, SpecError, first_few
from ensembler.fitting.inputs import make_space
from ensembler.fitting.narrowing import limited
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
    """A way to fit, and what of a store it looks at.

    Attributes:
        blender: what is fitted.
        space: its study on the store.
    """

    blender: Blender
    space: Space

    @property
    def seed(self) -> int:
        """Of its fits: its own study's."""
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
    """Everyone to compare, by name.

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
        InputError: an unknown blender, or two contestants of one name.
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
    named = [(text, _named(text, space)) for text in blenders]
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
    """What is compared by default: all that are registered, and chains of the best."""
    given = bool(definition.fixed)
    return (*(name for name in blender_names() if given or name != NEEDS_WEIGHTS), *CHAINS)


def _named(text: str, space: Space) -> Contestant:
    blender = parse_blender(text)
    return Contestant(blender=blender, space=limited(space, blender))


def _of_spec(spec: EnsembleSpec, path: Path, store: Store, corpus: Corpus | None) -> Contestant:
    """A spec is compared by fitting its study anew: its own weights know all rows."""
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
    return Contestant(blender=blender, space=limited(make_space(study, store), blender))


def _check_mix(spec: EnsembleSpec, path: Path, mix: Mapping[str, float] | None) -> None:
    """Scores under one mix are none of a fit for another."""
    own: Mapping[str, float] | None = spec.provenance.study.get("target_mix")
    if (own and dict(own)) != (mix and dict(mix)):
        raise SpecError(
            f"{path} was fitted for {_told(own)}, but the evaluation is for {_told(mix)}; give the"
            " spec's own --target-mix, or compare its blender with --blender instead"
        )


def _told(mix: Mapping[str, float] | None) -> str:
    return "the rows as they are" if mix is None else f"the mix {mix_text(mix)}"


def _definition(study: Mapping[str, object], path: Path) -> StudyDefinition:
    keys = StudyDefinition.model_fields
    return parse_study({key: study[key] for key in keys if key in study}, f"{path}: study")


def _count(named: Sequence[tuple[str, Contestant]], name: str) -> int:
    return sum(name == other for other, _ in named)
