"""A study's definition: what is searched and how, read from TOML."""

from __future__ import annotations

import fnmatch
import json
import tomllib
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from ensembler.blending.solver import Bounds
from ensembler.errors import StudyError, first_few, unknown_name
from ensembler.faults import faults_of
from ensembler.frozen import Frozen
from ensembler.search.samplers import SamplerName
from ensembler.shipped import shipped
from ensembler.spec.numbers import Norm

_SHAPES = {"members": 'members: give "all", a list of names or patterns, or a table of such lists'}


class StudyDefinition(Frozen):
    """Every key of a study file, each with its default."""

    description: str = ""
    # all · names or patterns · groups of them, which `fixed` weights go by
    members: Literal["all"] | tuple[str, ...] | dict[str, tuple[str, ...]] = "all"
    centring: Literal["off", "on", "both"] = "both"
    prior: bool = True  # whether the prior has weight; rows without a member get it all the same
    norms: tuple[Norm, ...] = Field(default=("none", "l2"), min_length=1)
    weights: Literal["exact", "sampled", "fixed"] = "exact"
    fixed: dict[str, float] = Field(default_factory=dict)  # by group, else by member
    bounds: Bounds = "simplex"
    objective: Literal["mean_cosine"] = "mean_cosine"
    sampler: SamplerName = "tpe"
    trials: int = Field(default=200, ge=1)  # in all; the baselines are always run
    patience: int = Field(default=40, ge=1)  # sampler trials without a gain before it stops
    seed: int = Field(default=0, ge=0)
    batch: int = Field(default=8, ge=1)  # trials proposed before any of them is known
    validation: Literal["nested", "none"] = "nested"

    @model_validator(mode="after")
    def _consistent(self) -> StudyDefinition:
        if (self.weights == "fixed") != bool(self.fixed):
            raise ValueError('`fixed` weights go with weights = "fixed", and only with it')
        if any(weight < 0.0 for weight in self.fixed.values()) and self.bounds != "free":
            raise ValueError('negative `fixed` weights need bounds = "free"')
        if len(set(self.norms)) != len(self.norms):
            raise ValueError("a norm is named twice")
        if self.fixed and not any(self.fixed.values()):
            raise ValueError("`fixed` weights are all 0, which makes no blend")
        return self


def study_paths() -> dict[str, Path]:
    """The studies that come with ensembler: name → file."""
    return shipped("studies")


def load_study(name_or_path: str | Path) -> StudyDefinition:
    """Read a study by the name of one that comes with ensembler, or from a file.

    Args:
        name_or_path: "default", or a path ending in .toml.

    Returns:
        The definition, defaults filled in.

    Raises:
        StudyError: no such study, not TOML, or keys and values that are not a study's; all faults
            at once, unknown keys with the nearest known one.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        known = study_paths()
        if str(name_or_path) not in known:
            raise StudyError(
                unknown_name("study", str(name_or_path), known) + " (a study's file ends in .toml)"
            )
        path = known[str(name_or_path)]
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StudyError(f"there is no study file {path}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StudyError(f"{path} is not a study file: {error}") from error
    return parse_study(document, str(path))


def parse_study(document: Mapping[str, Any], place: str) -> StudyDefinition:
    """Check a study's keys and values.

    Args:
        document: as TOML gives it.
        place: what a message calls it, as in the file's path.

    Raises:
        StudyError: as `load_study` does.
    """
    try:
        return StudyDefinition.model_validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        raise StudyError(f"{place}: {faults_of(error, StudyDefinition, _SHAPES)}") from error


def select_members(definition: StudyDefinition, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The members a study means, out of those a store has.

    Args:
        definition: the study.
        names: the store's members, in order.

    Returns:
        Group → members, each member in one group; without groups each member is its own.

    Raises:
        StudyError: nothing is named, a name or pattern matches nothing, a member falls into two
            groups, or `fixed` weights name something else.
    """
    if isinstance(definition.members, dict):
        groups = {g: _matching(wanted, names) for g, wanted in definition.members.items()}
    else:
        wanted = tuple(names) if definition.members == "all" else definition.members
        groups = {name: (name,) for name in _matching(wanted, names)} if wanted else {}
    if not groups:
        raise StudyError('members: none is named; name some, or say "all"')
    taken = list(chain.from_iterable(groups.values()))
    twice = {name for name in taken if taken.count(name) > 1}
    if twice:
        raise StudyError(f"in two groups: {first_few(sorted(twice))}; give each member one group")
    for name in definition.fixed:
        if name not in groups:
            raise StudyError(f"fixed: {unknown_name('group or member', name, groups)}")
    return groups


def _matching(wanted: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The names that match, in the store's order."""
    if not wanted:
        raise StudyError("members: a group is empty; name its members, or leave it out")
    for pattern in wanted:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise StudyError(f"members: {unknown_name('member', pattern, names)}")
    return tuple(n for n in names if any(fnmatch.fnmatchcase(n, pattern) for pattern in wanted))
