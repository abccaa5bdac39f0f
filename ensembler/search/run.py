"""Running a study: baselines, flips of one norm, then the sampler, in batches of a fixed size.

The sequence of trials depends on the statistics, the definition and the seed alone: batches are
proposed before any of them is known, each proposal is seeded by its own index, and workers only
evaluate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import optuna
from optuna.trial import create_trial

from ensembler.blending.weighting import Weighting
from ensembler.errors import StudyError
from ensembler.search.candidate import TIE, Candidate, Result, Trial, best_trial
from ensembler.search.record import Record, quiet_optuna
from ensembler.search.samplers import make_sampler
from ensembler.search.scoring import Scorer
from ensembler.search.space import Space

# Norms that gain only together hide the best candidate behind a runner-up, one flip away from it.
FLIPPED = 4

OnTrial = Callable[[Trial], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a study found.

    Attributes:
        best: the best trial.
        weighting: its centring, norms and weights.
        status: how the solver ended for these weights, by name; "given" where nothing was solved.
        trials: all of them, in order.
    """

    best: Trial
    weighting: Weighting
    status: str
    trials: tuple[Trial, ...]


@dataclass(kw_only=True)
class _Run:
    space: Space
    scorer: Scorer
    record: Record | None
    on_trial: OnTrial
    trials: list[Trial] = field(default_factory=list)
    results: dict[Candidate, Result] = field(default_factory=dict)

    @property
    def left(self) -> int:
        return max(0, self.space.definition.trials - len(self.trials))

    @property
    def points(self) -> set[Candidate]:
        """The points of the space that were scored; a baseline by rule is none."""
        scored = (trial.candidate for trial in self.trials)
        return {candidate for candidate in scored if candidate.rule in ("solved", "given")}

    def evaluate(self, stage: str, candidates: Iterable[Candidate]) -> list[Trial]:
        """Score a batch, or look its values up where the record has them.

        A batch of which the record has a part is scored whole, and a repeated candidate keeps its
        first result: a matrix product of another size would differ in the last digits, and what
        the sampler proposes next with it.
        """
        numbered = list(enumerate(candidates, start=len(self.trials)))
        recorded = [self._recorded(index, candidate) for index, candidate in numbered]
        if None in recorded:
            new = list(dict.fromkeys(c for _, c in numbered if c not in self.results))
            for candidate, scored in zip(new, self.scorer.score(new), strict=True):
                used = sum(weight != 0.0 for weight in scored.weighting.weights)
                self.results[candidate] = Result(scored.value, used, scored.status)
        done = []
        for (index, candidate), known in zip(numbered, recorded, strict=True):
            result = known or self.results[candidate]
            if not math.isfinite(result.value):
                raise StudyError(
                    f"trial {index} scored {result.value}: the embeddings hold numbers that cannot"
                    " be blended; `ensembler store audit` names them"
                )
            self.results.setdefault(candidate, result)
            trial = Trial(index=index, stage=stage, candidate=candidate, **result._asdict())
            if self.record and known is None:
                parameters = self.space.parameters(candidate)
                self.record.append(trial, parameters, self.space.distributions)
            done.append(trial)
            self.trials.append(trial)
            self.on_trial(trial)
        return done

    def _recorded(self, index: int, candidate: Candidate) -> Result | None:
        if self.record is None:
            return None
        return self.record.known(index, self.space.parameters(candidate), candidate.rule)


def run_study(
    space: Space,
    scorer: Scorer,
    *,
    record: Record | None = None,
    on_trial: OnTrial | None = None,
) -> Outcome:
    """Run a study to its end: until patience or trials run out.

    Args:
        space: what is searched.
        scorer: what scores it.
        record: where trials are kept, and from where a run goes on; None keeps none.
        on_trial: called after each trial.

    Returns:
        The best trial, never worse than a baseline on the same rows.
    """
    run = _Run(space=space, scorer=scorer, record=record, on_trial=on_trial or (lambda _: None))
    baselines = space.baselines()
    if space.definition.weights == "sampled":  # there they are points of the space
        baselines = map(scorer.with_weights, baselines)
    for batch in _batches(baselines, space.definition.batch):
        run.evaluate("baseline", batch)
    if space.distributions:
        _flip(run)
        _sample(run)
    if record is not None and record.size > len(run.trials):
        raise StudyError(
            f"{record.size} trials are recorded, this study ends after {len(run.trials)}: raise its"
            " trials or patience, or start afresh without --resume"
        )
    best = best_trial(run.trials)
    found = scorer.finish(best.candidate)
    return Outcome(
        best=best, weighting=found.weighting, status=found.status, trials=tuple(run.trials)
    )


def _flip(run: _Run) -> None:
    """Flips around the best few candidates, best first, until all their neighbours are known."""
    flipped: set[Candidate] = set()
    while run.left and len(run.space.definition.norms) > 1:
        around = next((c for c in _best_few(run.trials) if c not in flipped), None)
        if around is None:
            return
        flipped.add(around)
        tried = {trial.candidate for trial in run.trials}
        flips = (c for c in run.space.flips(around) if c not in tried)
        for batch in _batches(flips, run.space.definition.batch):
            run.evaluate("flip", batch[: run.left])


def _best_few(trials: list[Trial]) -> list[Candidate]:
    """The best candidates, best first; of those that tie only the earliest."""
    few: list[Candidate] = []
    left = trials
    while left and len(few) < FLIPPED:
        best = max(trial.value for trial in left)
        few.append(next(trial.candidate for trial in left if trial.value >= best - TIE))
        left = [trial for trial in left if trial.value < best - TIE]
    return few


def _sample(run: _Run) -> None:
    """Batches from the sampler, until patience or trials run out."""
    definition, space = run.space.definition, run.space
    with quiet_optuna():
        brain = optuna.create_study(direction="maximize")
        for trial in run.trials:
            parameters = space.parameters(trial.candidate)
            if trial.candidate.rule in ("solved", "given"):  # a point of the space
                brain.add_trial(
                    create_trial(
                        value=trial.value, params=parameters, distributions=space.distributions
                    )
                )
        stale, best = 0, max(trial.value for trial in run.trials)
        while run.left and stale < definition.patience and len(run.points) < space.size:
            asked = [_ask(brain, run, index) for index in range(min(definition.batch, run.left))]
            done = run.evaluate("sampler", [candidate for _, candidate in asked])
            for (proposal, _), result in zip(asked, done, strict=True):
                brain.tell(proposal, result.value)
                stale = 0 if result.value > best + TIE else stale + 1
                best = max(best, result.value)


def _ask(brain: optuna.Study, run: _Run, offset: int) -> tuple[optuna.Trial, Candidate]:
    definition = run.space.definition
    brain.sampler = make_sampler(definition.sampler, definition.seed, len(run.trials) + offset)
    trial = brain.ask()
    return trial, run.space.suggest(trial)


def _batches(candidates: Iterable[Candidate], size: int) -> Iterator[list[Candidate]]:
    waiting = iter(candidates)
    while batch := list(islice(waiting, size)):
        yield batch
