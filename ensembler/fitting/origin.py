"""The origin of a fit, as its spec keeps it beside the study's definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Preselection:
    """Members that a fit left out before it began.

    Attributes:
        looked_at: number of members, each looked at by itself.
        taken: number of them that some selection took.
    """

    looked_at: int
    taken: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOrigin:
    """The keys that stand beside the definition in a spec's `provenance.study`.

    A key whose value is None is not written, so that the specs of plain searches stay as short as
    they have always been.

    Attributes:
        name: the study's.
        target_mix: source → share that the fit was for.
        preselection: of a fit on few of many members.
        blender: as the registry reads it; None for the study's own search.
        corpus: digest of the corpus that the blender read.
        chosen_among: names of the blenders that were compared, sorted.
        choice_held_out: score of that choice, made without each fold.
    """

    name: str
    target_mix: Mapping[str, float] | None = None
    preselection: Preselection | None = None
    blender: str | None = None
    corpus: str | None = None
    chosen_among: list[str] | None = None
    choice_held_out: float | None = None

    def document(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {key: value for key, value in asdict(self).items() if value is not None}
