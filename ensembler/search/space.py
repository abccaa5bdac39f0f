"""The space a study searches: its parameters, its baselines, the flips of one norm."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from ensembler.search.candidate import Candidate, Rule
from ensembler.search.definition import StudyDefinition
from ensembler.spec.freeze import norm_of
from ensembler.spec.numbers import ALPHAS, Norm
from ensembler.store.model import PRIOR

ALPHA = {**ALPHAS, "power": 0.5}  # where a norm starts; power is then searched
LARGEST_ALPHA = 2.0  # beyond it a member's shortest rows drown out all others


@dataclass(frozen=True, kw_only=True)
class Space:
    """What a definition leaves open for the members of a store.

    Attributes:
        definition: the study.
        groups: group → members, as `select_members` returns them.
        names: the members, in the store's order.
        at_most: how many of them a fit selects and blends; None for any number.
    """

    definition: StudyDefinition
    groups: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...]
    at_most: int | None = None

    def among(self, names: Collection[str]) -> Space:
        """The same study on some of the members."""
        groups = {
            group: kept
            for group, members in self.groups.items()
            if (kept := tuple(name for name in members if name in names))
        }
        kept = tuple(name for name in self.names if name in names)
        return replace(self, groups=groups, names=kept)

    @property
    def columns(self) -> NDArray[np.bool_]:
        """(K,) which columns may have weight: all members, and the prior if the study has one."""
        return np.array([self.definition.prior, *(True for _ in self.names)])

    @property
    def centrings(self) -> tuple[bool, ...]:
        """The centrings to try."""
        return {"off": (False,), "on": (True,), "both": (False, True)}[self.definition.centring]

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Every parameter that has more than one value, in the order it is proposed."""
        definition = self.definition
        found: dict[str, BaseDistribution] = {}
        if len(self.centrings) > 1:
            found["centring"] = CategoricalDistribution(["off", "on"])
        for name in self.names:
            if len(definition.norms) > 1:
                found[f"norm:{name}"] = CategoricalDistribution(definition.norms)
            if "power" in definition.norms:
                found[f"alpha:{name}"] = FloatDistribution(0.0, LARGEST_ALPHA)
        if definition.weights == "sampled":
            low = -1.0 if definition.bounds == "free" else 0.0
            for name in ((PRIOR,) if definition.prior else ()) + self.names:
                found[f"include:{name}"] = CategoricalDistribution([False, True])
                found[f"weight:{name}"] = FloatDistribution(low, 1.0)
        return found

    @property
    def size(self) -> float:
        """How many points the space has; infinite with a continuous parameter."""
        sizes = (
            len(d.choices) if isinstance(d, CategoricalDistribution) else math.inf
            for d in self.distributions.values()
        )
        return math.prod(sizes)

    def baselines(self) -> Iterator[Candidate]:
        """What every study scores first: the rules of thumb and the plain norms, each centring."""
        plain = [tuple(ALPHA[norm] for _ in self.names) for norm in self.definition.norms]
        unit = (
            plain[self.definition.norms.index("l2")] if "l2" in self.definition.norms else plain[0]
        )
        rules: tuple[Rule, ...] = ("uniform", "single_best", "greedy")
        for centred in self.centrings:
            if self.definition.weights == "fixed":
                for alphas in plain:
                    yield self._fixed(centred, alphas)
                continue
            for rule in rules:
                yield Candidate(centred=centred, alphas=unit, rule=rule)
            if self.definition.weights == "exact":
                for alphas in plain:
                    yield Candidate(centred=centred, alphas=alphas)

    def flips(self, candidate: Candidate) -> Iterator[Candidate]:
        """The candidates that differ from one in a single member's norm."""
        for m, alpha in enumerate(candidate.alphas):
            for norm in self.definition.norms:
                if ALPHA[norm] != alpha:
                    flipped = (*candidate.alphas[:m], ALPHA[norm], *candidate.alphas[m + 1 :])
                    yield Candidate(
                        centred=candidate.centred,
                        alphas=flipped,
                        rule="solved" if self.definition.weights == "exact" else "given",
                        weights=candidate.weights,
                    )

    def suggest(self, trial: optuna.Trial) -> Candidate:
        """The candidate an Optuna trial proposes."""
        values: dict[str, Any] = {}
        for name, distribution in self.distributions.items():
            if isinstance(distribution, FloatDistribution):
                values[name] = trial.suggest_float(name, distribution.low, distribution.high)
            elif isinstance(distribution, CategoricalDistribution):
                values[name] = trial.suggest_categorical(name, distribution.choices)
        return self._candidate(values)

    def parameters(self, candidate: Candidate) -> dict[str, Any]:
        """A candidate's parameters, as a trial of the study records them."""
        values: dict[str, Any] = {}
        weights = dict(zip((PRIOR, *self.names), candidate.weights or (), strict=False))
        alphas = dict(zip(self.names, candidate.alphas, strict=True))
        for parameter in self.distributions:
            kind, _, name = parameter.partition(":")
            if kind == "centring":
                values[parameter] = "on" if candidate.centred else "off"
            elif kind == "norm":
                values[parameter] = self._norm(alphas[name])
            elif kind == "alpha":
                values[parameter] = alphas[name]
            elif kind == "include" and weights:
                values[parameter] = weights[name] != 0.0
            elif kind == "weight" and weights:
                values[parameter] = weights[name]
        return values

    def _candidate(self, values: Mapping[str, Any]) -> Candidate:
        centred = values.get("centring") == "on" if "centring" in values else self.centrings[0]
        alphas = tuple(self._alpha(name, values) for name in self.names)
        if self.definition.weights == "exact":
            return Candidate(centred=centred, alphas=alphas)
        if self.definition.weights == "fixed":
            return self._fixed(centred, alphas)
        weights = tuple(
            values[f"weight:{name}"] if values.get(f"include:{name}") else 0.0
            for name in (PRIOR, *self.names)
        )
        if not any(weights):  # nothing included is no blend: take all as proposed
            weights = tuple(values.get(f"weight:{name}", 0.0) for name in (PRIOR, *self.names))
        return Candidate(centred=centred, alphas=alphas, rule="given", weights=weights)

    def _fixed(self, centred: bool, alphas: tuple[float, ...]) -> Candidate:
        """A group's weight is shared equally by its members."""
        share = {
            name: self.definition.fixed.get(group, 0.0) / len(members)
            for group, members in self.groups.items()
            for name in members
        }
        weights = (0.0, *(share[name] for name in self.names))
        return Candidate(centred=centred, alphas=alphas, rule="given", weights=weights)

    def _alpha(self, name: str, values: Mapping[str, Any]) -> float:
        norm = values.get(f"norm:{name}", self.definition.norms[0])
        return float(values[f"alpha:{name}"]) if norm == "power" else ALPHA[norm]

    def _norm(self, alpha: float) -> Norm:
        norm = norm_of(alpha)
        return norm if norm in self.definition.norms else "power"
