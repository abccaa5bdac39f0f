"""The order in which contestants are fitted, and the fits that are dropped on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ensembler.blenders.contract import Blender
from ensembler.blenders.data import Data
from ensembler.blenders.refitting.memory import forget_everything, forget_fits
from ensembler.evaluation.choice import complexity
from ensembler.evaluation.contestants import Contestant
from ensembler.evaluation.ground import Ground
from ensembler.evaluation.parts import parts_of


def in_turn(entrants: Mapping[str, Contestant], ground: Ground) -> Iterator[tuple[str, Contestant]]:
    """Contestants with their names, the simplest first, so that chains find their bases fitted.

    After each turn the fits without a fold that no later contestant builds on are dropped; after
    the last contestant of a study, everything that was computed for it. The tables need neither:
    they are made of `Finished` fits.

    Args:
        entrants: by name.
        ground: where they are fitted.

    Yields:
        Name and contestant.
    """
    waiting = sorted(entrants.items(), key=lambda named: complexity(named[1].blender.name))
    while waiting:
        name, entrant = waiting.pop(0)
        yield name, entrant
        later = [other.blender for _, other in waiting if other.space is entrant.space]
        for data in ground.repeats(entrant.space):
            forget_all_but(data, later)
            if not later:
                forget_everything(data)


def forget_all_but(data: Data, later: Iterable[Blender]) -> None:
    """Drop the fits without a fold that no later blender needs.

    Args:
        data: whose fits are dropped.
        later: the blenders that are still to be fitted.
    """
    forget_fits(data, [part for blender in later for part in parts_of(blender)])
