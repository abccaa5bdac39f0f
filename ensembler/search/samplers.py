"""Optuna's samplers by name, seeded anew for every trial."""

from __future__ import annotations

import numpy as np
from optuna.samplers import BaseSampler, RandomSampler, TPESampler


def make_sampler(name: str, seed: int, index: int) -> BaseSampler:
    """The sampler that proposes one trial.

    TPE and random depend on nothing but their seed and the trials before: seeded by our own index,
    they propose the same trial whatever was killed and resumed in between.

    Args:
        name: "tpe" or "random".
        seed: the study's.
        index: the trial's place in the study.
    """
    mixed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    return TPESampler(seed=mixed) if name == "tpe" else RandomSampler(seed=mixed)
