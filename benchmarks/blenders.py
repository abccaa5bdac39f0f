"""Blenders: held-out scores of ours and of what people use, by the same outer folds.

Every contestant fits on the rows of all folds but one and is scored on that one, fold after fold,
from the vectors. Ours get no corpus, which the others could not use. The best of ours may trail
no contestant by more than noise. A last table has the time of `evaluate` for all of ours together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import ensembler as en
from benchmarks.answers import check
from benchmarks.contestants import Array32
from benchmarks.data import SHAPES, TOY, Shape, fresh_cache, generated_store
from benchmarks.environment import NotInstalledError
from benchmarks.sd_images import sd_images_store
from benchmarks.stackers import Rows, Stacker, stackers
from benchmarks.table import Line, Result
from benchmarks.timing import race, timed
from ensembler.evaluation.contestants import Contestant, contestants
from ensembler.evaluation.estimate import hold_out
from ensembler.evaluation.folding import fold_assignments
from ensembler.evaluation.ground import Ground
from ensembler.fitting.inputs import resolve_study
from ensembler.metrics import paired_cosine
from ensembler.scoring.intervals import GroupBootstrap
from ensembler.store.reader import Store

OOF = Path(__file__).parents[1] / "oof"
EVALUATIONS = {"toy": 20, "small": 200, "full": 200}  # that a search of weights may spend
FIRST = "weighted"  # the blender whose time all ratios are over
OF_WEIGHTS = ("uniform", "single_best", "greedy", FIRST)
THREADS = 2  # of an evaluation
SEED = 0

Cosines = NDArray[np.float64]  # (rows,), each from a fit that did not see the row's fold


class _Ran(NamedTuple):
    seconds: float
    cosines: Cosines


def run(size: str) -> list[Result]:
    """A table for each store, and one of the time of a whole evaluation."""
    evaluations, shape = EVALUATIONS[size], TOY if size == "toy" else SHAPES["small"][0]
    results = []
    if size != "toy":
        with generated_store(TOY) as store:  # warms up: imports, compiled kernels
            _compare("", store, EVALUATIONS["toy"])
        results.append(_compare("oof/", Store.open(OOF), evaluations))
        results.append(compare_images(evaluations))
    with generated_store(shape) as store:
        results.append(_compare(str(shape), store, evaluations))
        results.append(_evaluation(shape, store))
    return results


def compare_images(evaluations: int) -> Result:
    """Compare all contestants on the store of real images, or say why it is missing."""
    title = "sd_images"
    try:
        store = sd_images_store()
    except NotInstalledError as error:
        return Result(title=title, lines=(Line(name=title, absent=str(error)),))
    return _compare(title, store, evaluations)


def _compare(title: str, store: Store, evaluations: int) -> Result:
    """Compare all contestants on one store.

    Raises:
        WrongAnswerError: a rival's lead over the best of ours is more than noise.
    """
    (fold,) = fold_assignments(store, 1, SEED)
    ours = {name: timed(partial(_hold_out, store, our, fold)) for name, our in _ours(store).items()}
    rivals = stackers(evaluations)
    rows = Rows(*_arrays(store), store.samples.group)
    able = [rival for rival in rivals if not rival.why_not(len(fold))]
    theirs = {rival.name: timed(partial(hold_out_rival, rival, rows, fold)) for rival in able}
    runs = {name: _Ran(*ran) for name, ran in {**ours, **theirs}.items()}
    cosines = {name: ran.cosines for name, ran in runs.items()}
    bootstrap = GroupBootstrap(store.samples.group, store.samples.weight, SEED)
    best = max(ours, key=lambda name: bootstrap.mean(cosines[name]))
    for name in theirs:
        check_lead(best, name, cosines, bootstrap)
    absent = {rival.name: why for rival in rivals if (why := rival.why_not(len(fold)))}
    return Result(
        title=f"held out, {title}",
        lines=(
            *(_line(name, ran, runs[best], bootstrap) for name, ran in runs.items()),
            *(Line(name=name, absent=why) for name, why in absent.items()),
        ),
        fact="score",
        interval="our best leads by",
        decimals=4,
    )


def _ours(store: Store) -> dict[str, Contestant]:
    """The contestants of `ensembler evaluate`, beginning with FIRST."""
    _, definition = resolve_study("default", members=None, trials=None, seed=None)
    every = contestants(store, definition, None, ())
    return {FIRST: every[FIRST], **every}


def _hold_out(store: Store, contestant: Contestant, fold: NDArray[np.int64]) -> Cosines:
    """Fit and score one of ours from the vectors on disk, without results of another."""
    with fresh_cache():
        ground = Ground(
            store=store, foldings=[fold], weight=store.samples.weight, corpus=None, jobs=1
        )
        return hold_out(contestant.blender, ground.repeats(contestant.space), SEED).cosines


def hold_out_rival(rival: Stacker, rows: Rows, fold: NDArray[np.int64]) -> Cosines:
    """The held-out cosines of a stacker, (rows,), fitted once without each fold.

    Args:
        rival: the stacker.
        rows: the rows of the whole store.
        fold: (rows,) the fold of each row.
    """
    cosines = np.empty(len(fold))
    for number in np.unique(fold):
        held = fold == number
        seen = Rows(rows.members[:, ~held], rows.targets[~held], rows.groups[~held])
        predicted = rival.fit(seen)(rows.members[:, held])
        cosines[held] = paired_cosine(predicted, rows.targets[held])
    return cosines


def check_lead(
    best: str, rival: str, cosines: Mapping[str, Cosines], bootstrap: GroupBootstrap
) -> None:
    """Stop if a rival is better than the best of ours by more than noise.

    Raises:
        WrongAnswerError: the 95 % interval of the rival's lead is above 0.
    """
    low, high = bootstrap.interval(cosines[rival] - cosines[best])
    theirs, ours = bootstrap.mean(cosines[rival]), bootstrap.mean(cosines[best])
    leads = f"{rival} scores {theirs:.4f}, our best, {best}, {ours:.4f}"
    check(low <= 0.0, f"{leads}: it leads by {low:.4f} to {high:.4f}")


def _line(name: str, ran: _Ran, best: _Ran, bootstrap: GroupBootstrap) -> Line:
    return Line(
        name=name,
        seconds=ran.seconds,
        fact=bootstrap.mean(ran.cosines),
        interval=bootstrap.interval(best.cosines - ran.cosines),
    )


def _arrays(store: Store) -> tuple[Array32, Array32]:
    """Members, (M, N, d) with zeros for missing rows, and targets, (N, d), in memory."""
    members = [member.block(0, len(store.samples)) for member in store.members()]
    return np.stack(members), np.array(store.targets())


def _evaluation(shape: Shape, store: Store) -> Result:
    """The time of comparing blenders beside that of one fit, each from the vectors on disk."""
    works: dict[str, Callable[[], object]] = {
        "one fit": partial(en.fit, store, jobs=THREADS),
        "evaluate, the weight blenders": partial(
            en.evaluate, store, blenders=OF_WEIGHTS, jobs=THREADS
        ),
        "evaluate, every blender": partial(en.evaluate, store, jobs=THREADS),
    }
    ran = race(1, {name: partial(_from_disk, work) for name, work in works.items()})
    lines = [Line(name=name, seconds=time.seconds, fact=time.cpu) for name, time in ran.items()]
    return Result(title=f"evaluate, {shape}, {THREADS} threads", lines=tuple(lines), fact="CPU s")


def _from_disk(work: Callable[[], object]) -> object:
    """Do a piece of work with an empty statistics cache."""
    with fresh_cache():
        return work()
