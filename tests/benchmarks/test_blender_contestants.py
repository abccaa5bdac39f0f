"""The rivals of our blenders: how they are held out, and when the comparison stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmarks import blenders, sd_images
from benchmarks.answers import WrongAnswerError
from benchmarks.blenders import check_lead, hold_out_rival
from benchmarks.climbing import CLIMBERS
from benchmarks.contestants import unit
from benchmarks.data import ROWS_PER_GROUP, TOY, make_members, make_targets
from benchmarks.stackers import KERNEL_ROWS, Apply, Rows, Stacker, stackers
from benchmarks.table import Line, Result
from ensembler.metrics import mean_cosine, paired_cosine
from ensembler.scoring.intervals import GroupBootstrap

STACKERS = [stacker for stacker in stackers(20) if not stacker.why_not(TOY.rows)]
FOLD = np.arange(TOY.rows) // ROWS_PER_GROUP % 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread, as in every benchmark: the small products here only wait for a second one."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Generated members, each of which lacks some rows."""
    targets = make_targets(TOY)
    members = np.stack(list(make_members(targets, TOY.members)))
    for m in range(TOY.members):
        members[m, m::7] = 0.0
    groups = np.array([f"g{row // ROWS_PER_GROUP}" for row in range(TOY.rows)])
    return Rows(members, targets, groups)


@pytest.mark.parametrize("stacker", STACKERS, ids=lambda stacker: stacker.name)
def test_held_out_a_stacker_scores_above_the_worst_member_though_rows_are_missing(
    rows: Rows, stacker: Stacker
) -> None:
    worst = min(mean_cosine(vectors, rows.targets) for vectors in rows.members)
    cosines = hold_out_rival(stacker, rows, FOLD)
    assert np.isfinite(cosines).all()
    assert cosines.mean() > worst


def test_a_rival_is_fitted_on_all_folds_but_the_one_that_it_is_scored_on(rows: Rows) -> None:
    """The rival predicts the mean target that it saw, which is known for each fold."""

    def fit(seen: Rows) -> Apply:
        mean = seen.targets.mean(axis=0, dtype=np.float64)
        return lambda members: np.tile(mean, (members.shape[1], 1))

    found = hold_out_rival(Stacker("the mean", fit), rows, FOLD)
    for fold in range(3):
        mean = rows.targets[fold != FOLD].mean(axis=0, dtype=np.float64)
        here = rows.targets[fold == FOLD]
        wanted = paired_cosine(np.tile(mean, (len(here), 1)), here)
        np.testing.assert_allclose(found[fold == FOLD], wanted, atol=1e-12)


def test_hill_climbing_ends_no_lower_than_the_best_member_and_tells_the_weights_it_reached(
    rows: Rows,
) -> None:
    (climber,) = (one for one in CLIMBERS if one.name == "hill climbing")
    weights, scaled = climber.fit(rows.members, rows.targets, 0)
    assert scaled.all()
    assert weights.sum() == pytest.approx(1.0, abs=1e-6)  # shares are float32
    blend = np.tensordot(weights, unit(rows.members), axes=1)
    best = max(mean_cosine(vectors, rows.targets) for vectors in rows.members)
    assert mean_cosine(blend, rows.targets) > best


def test_what_cannot_take_so_many_rows_says_so() -> None:
    (kernel,) = (stacker for stacker in stackers(20) if stacker.most_rows)
    assert kernel.why_not(KERNEL_ROWS) == ""
    assert kernel.why_not(KERNEL_ROWS + 1) == "too large"
    assert Stacker("nobody's", kernel.fit, "no-such-package").why_not(1) == "absent"


def test_a_rival_that_leads_by_more_than_noise_stops_the_comparison(rows: Rows) -> None:
    bootstrap = GroupBootstrap(rows.groups, np.ones(TOY.rows), seed=0)
    ours = np.full(TOY.rows, 0.5)
    noise = np.where(np.arange(TOY.rows) // ROWS_PER_GROUP % 2, 0.1, -0.1)
    check_lead("ours", "close", {"ours": ours, "close": ours + 0.001 + noise}, bootstrap)
    with pytest.raises(WrongAnswerError, match=r"far scores 0\.5500, our best, ours, 0\.5000"):
        check_lead("ours", "far", {"ours": ours, "far": ours + 0.05 + noise}, bootstrap)


def test_missing_images_are_named_in_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sd_images, "IMAGES", tmp_path / "nowhere")
    (line,) = blenders.compare_images(20).lines
    assert (line.name, line.seconds, line.absent) == ("sd_images", None, "needs ../shared")


def test_a_table_with_intervals_fits_80_columns() -> None:
    names = [stacker.name for stacker in stackers(20)]
    lines = [
        Line(name=name, seconds=1234.5, fact=0.5, interval=(-0.0123, 0.0456)) for name in names
    ]
    lines.append(Line(name="another", absent="too large"))
    result = Result(
        title="held out, N=20,000 M=8 d=384",
        lines=tuple(lines),
        fact="score",
        interval="our best leads by",
        decimals=4,
    )
    printed = str(result).splitlines()
    assert max(map(len, printed)) <= 80
    assert len(printed) == 2 + len(lines)  # no name is broken over two lines
    assert printed[2].endswith("0.5000   -0.0123 … +0.0456")
