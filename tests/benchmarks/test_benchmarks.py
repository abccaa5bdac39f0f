"""Each benchmark at toy size: its own checks of the answers are the test; nothing is timed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from benchmarks import fit, images
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.answers import WrongAnswerError, check
from benchmarks.contestants import CONTESTANTS
from benchmarks.data import TOY, make_members, make_targets
from benchmarks.table import Line, Result
from ensembler.blending.weighting import Weighting

Vectors = NDArray[np.float32]
Folds = NDArray[np.int64]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_finds_every_answer_right_at_toy_size(name: str) -> None:
    ran = CliRunner().invoke(main, [name, "--size", "toy", "--json"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    document = json.loads(ran.stdout)
    assert {"cpu", "cores", "gpus"} == set(document["machine"])
    for result in document["results"]:
        first = result["lines"][0]
        assert first["ratio"] == 1.0 or first["absent"] == "needs ../shared"
        assert all(line["seconds"] is not None or line["absent"] for line in result["lines"])


def test_a_benchmark_whose_packages_are_not_installed_says_so_and_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "missing_packages", lambda _: ["timm", "torch"])
    ran = CliRunner().invoke(main, ["images", "startup", "--size", "toy", "--json"])
    assert ran.exit_code == 0, ran.output
    sentence = "needs timm, torch: pip install 'oof-ensembler[towers]'"
    assert f"images: not run, {sentence}\n" in ran.stderr
    document = json.loads(ran.stdout)
    assert document["absent"] == {"images": sentence}
    assert document["results"]


def test_a_contestant_that_scores_higher_than_ours_stops_the_fit_benchmark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = fit.score_in_float64

    def generous(members: Vectors, targets: Vectors, weighting: Weighting, fold: Folds) -> float:
        ours = weighting.weights[0] != 0.0  # nobody else has the prior
        return honest(members, targets, weighting, fold) if ours else 0.99

    monkeypatch.setattr(fit, "score_in_float64", generous)
    with pytest.raises(WrongAnswerError, match=r"Optuna TPE, weights scores 0\.99, ours 0\.79"):
        fit.run("toy")


def test_a_search_that_promises_more_than_the_vectors_hold_stops_the_fit_benchmark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fit, "score_in_float64", lambda *_: 0.5)
    with pytest.raises(WrongAnswerError, match=r"the search says 0\.79\d+, the vectors 0\.5"):
        fit.run("toy")


def test_a_wrong_answer_is_an_error_that_says_what_was_found() -> None:
    check(True, "never shown")
    with pytest.raises(WrongAnswerError, match="the sum is 3"):
        check(False, "the sum is 3")


def test_every_contestant_that_is_installed_improves_on_the_worst_member() -> None:
    targets = make_targets(TOY)
    members = np.stack(list(make_members(targets, TOY.members)))
    unit = members / np.linalg.norm(members, axis=2, keepdims=True)
    worst = np.einsum("mid,id->mi", unit, targets).mean(axis=1).min()
    for contestant in CONTESTANTS:
        if not contestant.installed:
            continue
        weights, flags = contestant.fit(members, targets, 20)
        assert weights.shape == flags.shape == (TOY.members,)
        chosen = np.where(flags[:, None, None], unit, members)
        blend = np.tensordot(weights, chosen, axes=1)
        cosines = np.einsum("id,id->i", blend, targets) / np.linalg.norm(blend, axis=1)
        assert cosines.mean() > worst, contestant.name


def test_generated_members_are_the_same_for_the_same_seed_and_differ_from_one_another() -> None:
    targets = make_targets(TOY)
    first, again = (np.stack(list(make_members(targets, 3))) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert not np.array_equal(first[0], first[1])


def test_a_table_fits_80_columns_and_says_who_did_not_run() -> None:
    result = Result(
        title="fit, N=100,000 M=18 d=384",
        lines=(
            Line(name="ours: statistics + search", seconds=2.0, fact=0.5),
            Line(name="a contestant with norms", seconds=1234.5, fact=0.25),
            Line(name="a contestant of another package", absent="not installed"),
        ),
        fact="score",
        decimals=7,
    )
    printed = str(result).splitlines()
    assert max(map(len, printed)) <= 80
    assert printed[2].split()[-3:] == ["2.000", "1.00", "0.5000000"]
    assert printed[3].split()[-3:] == ["1234.500", "617.25", "0.2500000"]
    assert printed[4].endswith("not installed")
