"""Running a study: baselines, flips of one norm, then the sampler, in batches of a fixed size.

The sequence of trials depends on the statistics, the definition and the seed alone: batches are
proposed before any of them is known, each proposal is seeded by its own index, and workers only
evaluate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import optuna
from optuna.trial import create_trial

from ensembler.blending.weighting import Weighting
from ensembler.errors import StudyError
from ensembler.search.candidate import SCREENED, TIE, Candidate, Result, Trial, best_trial
from ensembler.search.quiet import quiet_optuna
from ensembler.search.record import Proposal, Record
from ensembler.search.samplers import make_sampler
from ensembler.search.scoring import SMALLEST_LEAD, Scorer
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

    @property
    def best_solved(self) -> Trial | None:
        """The best trial whose weights were solved on all rows."""
        solved = (
            trial
            for trial in self.trials
            if trial.candidate.rule == "solved" and trial.status != SCREENED
        )
        return max(solved, key=lambda trial: trial.value, default=None)

    def evaluate(self, stage: str, candidates: Sequence[Candidate]) -> list[Trial]:
        """Score a batch, or look its results up where the record has them.

        Baselines always run; of other batches, what the trials left allow. No result depends on
        where that ends, so that a study with more trials goes on from one with fewer.
        """
        allowed = candidates if stage == "baseline" else candidates[: self.left]
        proposals = [
            Proposal(
                index=index,
                stage=stage,
                candidate=candidate,
                parameters=self.space.parameters(candidate),
                distributions=self.space.distributions,
            )
            for index, candidate in enumerate(allowed, start=len(self.trials))
        ]
        score = partial(self._score, batch=candidates)
        results = self.record.settle(proposals, score) if self.record else score(proposals)
        done = []
        for proposal, result in zip(proposals, results, strict=True):
            candidate = proposal.candidate
            self.results.setdefault(candidate, result)
            trial = Trial(
                index=proposal.index, stage=stage, candidate=candidate, **result._asdict()
            )
            done.append(trial)
            self.trials.append(trial)
            self.on_trial(trial)
        return done

    def try_once(self, flip: Candidate) -> None:
        """Score a flip unless it was scored before."""
        if flip not in self.results:
            self.evaluate("flip", [flip])

    def _score(self, proposals: Sequence[Proposal], batch: Sequence[Candidate]) -> list[Result]:
        """Score some of a batch's proposals; a candidate of an earlier batch keeps its result.

        What shares a matrix product with them is scored too, proposed or not: a product of another
        size would differ in the last digits.
        """
        asked = {p.candidate.scaling for p in proposals}
        alike = (candidate for candidate in batch if candidate.scaling in asked)
        new = [candidate for candidate in dict.fromkeys(alike) if candidate not in self.results]
        found = dict(self.results)
        scores = self.scorer.score(new, best=self.best_solved, batch=batch)
        for candidate, scored in zip(new, scores, strict=True):
            used = sum(weight != 0.0 for weight in scored.weighting.weights)
            found[candidate] = Result(scored.value, used, scored.status)
        for proposal in proposals:
            value = found[proposal.candidate].value
            if not math.isfinite(value):
                raise StudyError(
                    f"trial {proposal.index} scored {value}: the embeddings hold numbers that"
                    " cannot be blended; `ensembler store audit` names them"
                )
        return [found[proposal.candidate] for proposal in proposals]


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
            " trials or patience, or start afresh without --resume or --join"
        )
    best = best_trial(run.trials)
    found = scorer.finish(best.candidate)
    return Outcome(
        best=best, weighting=found.weighting, status=found.status, trials=tuple(run.trials)
    )


def _flip(run: _Run) -> None:
    """Flips around the best few candidates, best first, until all their neighbours are known.

    Norms act almost independently: the flips that gain, made together, save most of the way. Where
    a sample foretells which those are, that comes first: it then screens out each flip alone,
    which would need all rows, as flips that gain are too close to one another to be told apart.
    This is the one proposal that no recorded value decides, but the sample, solved again when a
    study is resumed or joined. Another machine rounds it otherwise in the ninth digit; gains are a
    thousand times as large, or, of a member whose norm is of no account, none at all. Should two
    machines still disagree, the record stops the second.
    """
    flipped: set[Candidate] = set()
    while run.left and len(run.space.definition.norms) > 1:
        around = next((c for c in _best_few(run.trials) if c not in flipped), None)
        if around is None:
            return
        flipped.add(around)
        flips = list(run.space.flips(around))
        foretold = run.scorer.foretell([around, *flips])
        run.try_once(_gains_together(around, flips, foretold, SMALLEST_LEAD))
        tried = {trial.candidate for trial in run.trials}
        for batch in _batches((c for c in flips if c not in tried), run.space.definition.batch):
            run.evaluate("flip", batch)
        known = {candidate: result.value for candidate, result in run.results.items()}
        run.try_once(_gains_together(around, flips, known, TIE))


def _gains_together(
    around: Candidate, flips: list[Candidate], values: Mapping[Candidate, float], least: float
) -> Candidate:
    """A candidate with all the flips that gain, for each member the one that gains most.

    Args:
        around: what was flipped.
        flips: each differs from it in one member's norm.
        values: what of all these is known.
        least: what a gain must exceed.
    """
    alphas = list(around.alphas)
    best = [values.get(around, math.inf) + least] * len(alphas)
    for flipped in flips:
        (member,) = (m for m, alpha in enumerate(flipped.alphas) if alpha != around.alphas[m])
        if values.get(flipped, -math.inf) > best[member]:
            best[member] = values[flipped]
            alphas[member] = flipped.alphas[member]
    return replace(flips[0], alphas=tuple(alphas))


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
        stale, best = 0, best_trial(run.trials).value
        while run.left and stale < definition.patience and len(run.points) < space.size:
            asked = [_ask(brain, run, index) for index in range(definition.batch)]
            done = run.evaluate("sampler", [candidate for _, candidate in asked])
            for (proposal, _), result in zip(
                asked, done, strict=False
            ):  # the last batch may be cut
                brain.tell(proposal, result.value)
                gains = result.status != SCREENED and result.value > best + TIE
                stale = 0 if gains else stale + 1
                best = max(best, result.value) if gains else best


def _ask(brain: optuna.Study, run: _Run, offset: int) -> tuple[optuna.Trial, Candidate]:
    definition = run.space.definition
    index = len(run.trials) + offset
    brain.sampler = make_sampler(
        definition.sampler, run.space.distributions, definition.seed, index
    )
    trial = brain.ask()
    return trial, run.space.suggest(trial)


def _batches(candidates: Iterable[Candidate], size: int) -> Iterator[list[Candidate]]:
    waiting = iter(candidates)
    while batch := list(islice(waiting, size)):
        yield batch
