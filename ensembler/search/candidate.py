"""One point of a study: what a trial fixes before it is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

# How a candidate comes by its weights: solved exactly, given with it, or one of the baselines.
Rule = Literal["solved", "given", "uniform", "single_best", "greedy"]

Scaling = tuple[bool, tuple[float, ...]]  # a problem's centring and norms


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Centring, norms and a rule for the weights; M members.

    Attributes:
        centred: whether members stand less their means.
        alphas: M exponents of the norms: 0 none, 1 l2.
        rule: where the weights come from.
        weights: 1 + M numbers, the prior's first, when given; scale is of no account.
    """

    centred: bool
    alphas: tuple[float, ...]
    rule: Rule = "solved"
    weights: tuple[float, ...] | None = None

    @property
    def scaling(self) -> Scaling:
        """What decides the problem to solve; candidates that agree in it share matrix products."""
        return self.centred, self.alphas


SCREENED = "SCREENED"  # the status of a trial that was given up before all rows were asked


class Result(NamedTuple):
    """What scoring a candidate gave: see the same names in Trial."""

    value: float
    used: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A scored candidate.

    Attributes:
        index: its place in the study.
        stage: what proposed it: "baseline", "flip" or "sampler".
        candidate: what was scored.
        value: mean cosine on the study's rows.
        used: how many columns have weight.
        status: how the solver ended, by name; "given" where nothing was solved; SCREENED where a
            sample of the rows ruled it out: then the value is an estimate.
    """

    index: int
    stage: str
    candidate: Candidate
    value: float
    used: int
    status: str


TIE = 1e-8  # trials this close to the best are equal: the simplest of them is taken


def best_trial(trials: list[Trial]) -> Trial:
    """The best trial; among ties the simplest: fewest columns, uncentred, fewest norms, first.

    What was screened out cannot be the best, whatever its estimate.
    """
    complete = [trial for trial in trials if trial.status != SCREENED]
    best = max(trial.value for trial in complete)
    return min(
        (trial for trial in complete if trial.value >= best - TIE),
        key=lambda trial: (
            trial.used,
            trial.candidate.centred,
            sum(alpha != 0.0 for alpha in trial.candidate.alphas),
            trial.index,
        ),
    )
