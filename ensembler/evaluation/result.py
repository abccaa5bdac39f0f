"""A whole evaluation: the comparison, and what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ensembler.evaluation.breakdown import Part
from ensembler.evaluation.budgets import Budget
from ensembler.evaluation.comparison import Comparison, Standing
from ensembler.evaluation.contributing import Contributions
from ensembler.evaluation.rows import Row
from ensembler.evaluation.shift import LeftOut


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """Blends side by side, and where they differ.

    Attributes:
        comparison: who leads, and how surely.
        column: of the samples, that `parts` go by.
        column_asked: whether somebody asked for it.
        parts: scores by its values, the worst first.
        groups: scores of the worst groups, the worst first.
        worst: rows of the chosen blend, worst first.
        best: rows of the chosen blend, best first.
        left_out: each source scored by fits on the others; empty where not asked for.
        kept_in: sources without which the others would be too few to fit on.
        target_mix: source → share in what is to be predicted; None: the rows as they are.
        plain: the blend that contributions and budgets are of; None where neither was asked for.
        contributions: of members; None where not asked for.
        budgets: of the weighted blend, the smallest first; empty where not asked for.
        seconds: that all of it took.
    """

    comparison: Comparison
    column: str
    column_asked: bool
    parts: tuple[Part, ...]
    groups: tuple[Part, ...]
    worst: tuple[Row, ...]
    best: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]
    kept_in: tuple[str, ...]
    target_mix: Mapping[str, float] | None
    plain: str | None
    contributions: Contributions | None
    budgets: tuple[Budget, ...]
    seconds: float

    @property
    def chosen(self) -> str:
        """The blend to submit: the simplest within one standard error of the best."""
        return self.comparison.chosen

    def summary(self) -> dict[str, object]:
        """Plain data for JSON."""
        comparison = self.comparison
        return {
            "blends": {name: _standing(s) for name, s in comparison.blends.items()},
            "best": comparison.best,
            "chosen": comparison.chosen,
            "choice": {"held_out": comparison.choice.model_dump()},
            "rows": comparison.rows,
            "groups": comparison.groups,
            "folds": comparison.folds,
            "repeats": comparison.repeats,
            "by": {"column": self.column, "values": [asdict(part) for part in self.parts]},
            "worst_groups": [asdict(part) for part in self.groups],
            "worst_rows": [asdict(row) for row in self.worst],
            "best_rows": [asdict(row) for row in self.best],
            "left_out": [asdict(part) | {"best": part.best} for part in self.left_out],
            "kept_in": list(self.kept_in),
            "target_mix": self.target_mix and dict(self.target_mix),
            "told_of": self.plain,
            "contributions": self.contributions and asdict(self.contributions),
            "budgets": [asdict(budget) for budget in self.budgets],
            "seconds": round(self.seconds, 3),
        }


def _standing(standing: Standing) -> dict[str, object]:
    return {
        "held_out": standing.held_out.model_dump(),
        "score": standing.score,
        "optimism": standing.optimism,
        "members": list(standing.members),
        "seconds": round(standing.seconds, 3),
        "seconds_per_image": standing.per_image,
        "status": standing.status,
    }
