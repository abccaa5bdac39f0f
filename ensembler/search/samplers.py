"""Optuna's samplers by name: what each promises and needs, and one made anew for every trial.

A run asks for all its trials again when it is resumed, in the same order and of a study in memory
(see run.py), so a sampler meets the same trial numbers and the same trials before, whatever was
killed in between. What it must not have is a state of its own that outlives a trial, for then the
trials would depend on when the sampler was made: hence a new one each time, seeded by our index.
Where other versions of the libraries propose something else, a resume says so and stops; for gp it
is enough that greenlet has come or gone, by which Optuna chooses between two ways of optimising.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ensembler.errors import StudyError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

SamplerName = Literal["tpe", "random", "cmaes", "gp"]


class Traits(NamedTuple):
    """What stands behind a sampler's name.

    Attributes:
        promise: what it proposes when a study is run again, and at what price.
        package: what it imports beside Optuna's own needs; None for nothing.
        install: what installs that, as pip is told.
    """

    promise: str
    package: str | None = None
    install: str = ""


_SAME = "the same trials after any kill and resume and for any number of workers"
SAMPLERS: dict[SamplerName, Traits] = {
    "tpe": Traits(_SAME),
    "random": Traits(_SAME),
    "cmaes": Traits(
        f"{_SAME}; flags are left to tpe", package="cmaes", install="'oof-ensembler[samplers]'"
    ),
    "gp": Traits(
        f"{_SAME}; some tenths of a second a trial, on a resume too",
        package="torch",
        install="torch",
    ),
}


def check_sampler(name: SamplerName, space: Iterable[BaseDistribution]) -> None:
    """Refuse a sampler that cannot propose points of a space, before anything is computed.

    Args:
        name: of the sampler.
        space: what it would propose; nothing to propose suits every sampler.

    Raises:
        StudyError: its package is missing, or it needs a continuous parameter and there is none.
    """
    from optuna.distributions import FloatDistribution

    searched = list(space)
    if not searched:
        return
    if name == "cmaes" and not any(isinstance(d, FloatDistribution) for d in searched):
        raise StudyError(
            "sampler 'cmaes' searches continuous parameters, of which this study has none: every"
            ' flag has a few values; take sampler = "tpe", allow the norm "power", or let weights'
            ' be "sampled"'
        )
    _, package, install = SAMPLERS[name]
    if package and importlib.util.find_spec(package) is None:
        raise StudyError(
            f"sampler {name!r} needs the package {package}: pip install {install}, or take"
            ' sampler = "tpe"'
        )
    if package:  # now, so that a limit on threads that is set next meets those of the package
        importlib.import_module(package)


def make_sampler(
    name: SamplerName, space: Mapping[str, BaseDistribution], seed: int, index: int
) -> BaseSampler:
    """The sampler that proposes one trial.

    CMA-ES keeps its optimiser with the trials it proposed, of the study in memory alone, never in
    a record; the other samplers keep nothing.

    Args:
        name: of the sampler; `check_sampler` has passed.
        space: what is searched; every trial of the study has a value for each.
        seed: the study's.
        index: the trial's place in the study.
    """
    from optuna.samplers import CmaEsSampler, GPSampler, RandomSampler, TPESampler

    from ensembler.search.tpe import KnownSpaceTPE

    mixed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    if name == "random":
        return RandomSampler(seed=mixed)
    if name == "cmaes":  # told of every flag it leaves to another, it would warn of every one
        tpe = TPESampler(seed=mixed)
        return CmaEsSampler(seed=mixed, independent_sampler=tpe, warn_independent_sampling=False)
    return GPSampler(seed=mixed) if name == "gp" else KnownSpaceTPE(space, seed=mixed)
