"""`ensembler evaluate` as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ensembler.blenders.registry import blender_names
from ensembler.evaluation import run
from ensembler.evaluation.comparison import compare
from ensembler.evaluation.contestants import CHAINS
from ensembler.spec.loading import load_spec
from ensembler.store.corpus import save_corpus
from ensembler.store.create import create_store
from ensembler.store.model import EncoderRecord, Origin
from ensembler.store.writer import add_member
from ensembler.testing.worlds import DIM, World, make_world

if TYPE_CHECKING:
    from tests.conftest import Run

SECONDS = {"m0": 0.4, "m1": 0.1, "m2": 0.2, "m3": 0.05}
WIDTH = 80

Written = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that is quickly searched lies in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("quick.toml").write_text("trials = 1\n")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """`written(world, seconds=…)`: a store of a world, its members saying how long they take."""

    def write(world: World, seconds: dict[str, float] | None = None) -> Path:
        folder = tmp_path_factory.mktemp("world")
        path = world.data(folder).store.path
        if seconds is None:
            return path
        shutil.rmtree(path)
        create_store(path, folder / "samples.csv", targets=folder / "targets.npy")
        for name, taken in seconds.items():
            origin = Origin(seconds_per_image=taken)
            add_member(path, name, [folder / f"{name}.npz"], origin=origin)
        return path

    return write


@pytest.fixture(scope="module")
def plain(written: Written) -> Path:
    """96 rows in 24 groups and two sources, with prompts."""
    world = make_world()
    prompts = [f"a picture of {group}" for group in world.samples["group"]]
    return written(replace(world, samples={**world.samples, "prompt": prompts}), SECONDS)


def _asking(store: Path, *options: object) -> tuple[object, ...]:
    return ("evaluate", store, "--study", "quick.toml", *options)


def _json(ran: Any) -> Any:  # noqa: ANN401 - whatever was printed
    assert ran.code == 0, ran.err
    assert ran.err == ""
    return json.loads(ran.out)


def test_json_without_options_compares_every_registered_blender(
    ensembler: Run, plain: Path
) -> None:
    found = _json(ensembler(*_asking(plain, "--json")))
    assert set(found["blends"]) == {*blender_names(), *CHAINS} - {"fixed"}
    assert {found["best"], found["chosen"]} <= set(found["blends"])
    scores = [blend["held_out"]["score"] for blend in found["blends"].values()]
    assert scores == sorted(scores, reverse=True)
    for name, blend in found["blends"].items():
        assert {"held_out", "score", "members", "seconds"} <= set(blend)
        assert set(blend["held_out"]) == {"score", "interval", "versus"}
        assert set(blend["held_out"]["versus"]) == set(found["blends"]) - {name}
        for lead in blend["held_out"]["versus"].values():
            assert set(lead) == {"difference", "interval"}
        assert blend["optimism"] == pytest.approx(blend["score"] - blend["held_out"]["score"])
    assert (found["rows"], found["groups"], found["folds"], found["repeats"]) == (96, 24, 4, 1)
    assert {part["value"] for part in found["by"]["values"]} == {"drawn", "painted"}


def test_everything_asked_for_is_printed_within_80_columns(ensembler: Run, plain: Path) -> None:
    ran = ensembler(
        *_asking(plain, "--blender", "weighted", "--blender", "greedy", "--repeats", 2),
        *("--leave-source-out", "--contributions", "--budgets", "--by", "fold", "--jobs", 2),
    )
    assert (ran.code, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= WIDTH
    for words in (
        "4 folds of whole groups, dealt 2 times",
        "by fold",
        "members by fold",
        "a picture of g",
        "nearest: of other groups, the prompt whose target is nearest",
        "source left out",
        "others' means",
        "is the safest: its worst loss",
        "loss without",
        "dropped, the weakest",
        "taken, the strongest",
        "Contributions of the members to weighted:",
        "Scores by seconds per image, blended by weighted:",
        "s per image",
        "The choice was made by these very scores",
    ):
        assert words in " ".join(ran.out.split())


def test_progress_goes_to_a_terminal_on_stderr_and_leaves_stdout_alone(
    ensembler: Run, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes stderr for a terminal
    ran = ensembler(*_asking(plain, "--blender", "greedy", "--json"))
    assert json.loads(ran.out)["best"] == "greedy"
    assert "greedy" in ran.err


@pytest.fixture
def corpus() -> Path:
    """A corpus that is far from the targets, so that reading it shows."""
    vectors = np.random.default_rng(3).normal(size=(400, DIM)) * np.linspace(0.1, 2.0, DIM)
    mean, covariance = vectors.mean(axis=0), np.cov(vectors, rowvar=False)
    encoder = EncoderRecord(name="drawn", sha256="0" * 64)
    save_corpus(
        "corpus.safetensors", mean=mean, covariance=covariance, prompts=400, encoder=encoder
    )
    return Path("corpus.safetensors")


MIX = ("--target-mix", "drawn=3", "--target-mix", "painted=1")


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ((), ()),
        (("--seed", 7, "--blender", "greedy:bags=3"), ()),
        (("--blender", "gains"), ("--corpus", "corpus.safetensors")),
        (("--blender", "gains"), ()),
        ((), MIX),
    ],
    ids=["plain", "seed", "corpus", "targets", "mix"],
)
@pytest.mark.usefixtures("corpus")
def test_a_spec_is_compared_by_repeating_its_own_fit(
    ensembler: Run, plain: Path, options: tuple[object, ...], shared: tuple[object, ...]
) -> None:
    fitted = ensembler(
        "fit", plain, "--study", "quick.toml", "--spec", "mine.json", *options, *shared
    )
    assert fitted.code == 0, fitted.err
    frozen = load_spec("mine.json").scores.held_out
    assert frozen is not None
    found = _json(ensembler(*_asking(plain, "--spec", "mine.json", "--json", *shared)))
    score = found["blends"]["mine.json"]["held_out"]["score"]
    # Not to the last digit: `fit` lends its problems to the repeats, rounded to float32.
    assert score == pytest.approx(frozen.score, abs=1e-7)


@pytest.mark.usefixtures("corpus")
def test_a_spec_fitted_without_a_corpus_does_not_take_one_that_others_do(
    ensembler: Run, plain: Path
) -> None:
    fit = ("fit", plain, "--study", "quick.toml", "--spec", "mine.json", "--blender", "gains")
    assert ensembler(*fit).code == 0
    asked = ("--spec", "mine.json", "--blender", "gains", "--corpus", "corpus.safetensors")
    blends = _json(ensembler(*_asking(plain, *asked, "--json")))["blends"]
    frozen = load_spec("mine.json").scores.held_out
    assert frozen is not None
    assert blends["mine.json"]["held_out"]["score"] == pytest.approx(frozen.score, abs=1e-9)
    assert blends["gains"]["held_out"]["score"] != pytest.approx(frozen.score, abs=1e-9)


@pytest.mark.usefixtures("corpus")
def test_a_spec_is_not_compared_without_its_corpus(ensembler: Run, plain: Path) -> None:
    given = ("--blender", "gains", "--corpus", "corpus.safetensors", "--spec", "mine.json")
    assert ensembler("fit", plain, "--study", "quick.toml", *given).code == 0
    ran = ensembler(*_asking(plain, "--spec", "mine.json"))
    assert (ran.code, ran.out) == (2, "")
    assert "but none is given; name the same file with --corpus" in " ".join(ran.err.split())


@pytest.mark.parametrize(("fitted", "asked"), [(MIX, ()), ((), MIX)])
def test_a_spec_is_not_compared_under_another_mix_than_its_own(
    ensembler: Run, plain: Path, fitted: tuple[str, ...], asked: tuple[str, ...]
) -> None:
    fit = ("fit", plain, "--study", "quick.toml", "--spec", "mine.json")
    assert ensembler(*fit, *fitted).code == 0
    ran = ensembler(*_asking(plain, "--spec", "mine.json", *asked))
    assert (ran.code, ran.out) == (2, "")
    said = " ".join(ran.err.split())
    assert "the rows as they are" in said
    assert "the mix drawn=3, painted=1" in said


def test_rows_that_a_mix_gives_no_weight_are_not_counted(ensembler: Run, plain: Path) -> None:
    mix = ("--target-mix", "drawn=1")
    ran = ensembler(*_asking(plain, "--blender", "uniform", "--rows", 0, *mix))
    assert ran.code == 0, ran.err
    assert "48 rows in 24 groups" in ran.out
    assert "Fits and scores are for the mix of sources drawn=1" in ran.out


def test_a_mix_of_sources_scores_what_is_to_be_predicted(ensembler: Run, plain: Path) -> None:
    asked = _asking(plain, "--blender", "weighted", "--json", "--rows", 0)
    drawn = _json(ensembler(*asked, "--target-mix", "drawn=2", "--target-mix", "painted=0"))
    (part,) = drawn["by"]["values"]
    assert part["value"] == "drawn"
    assert drawn["blends"]["weighted"]["held_out"]["score"] == pytest.approx(
        part["blends"]["weighted"]
    )
    assert drawn["worst_rows"] == []


def test_a_mix_changes_nothing_about_sources_left_out(ensembler: Run, plain: Path) -> None:
    asked = _asking(plain, "--blender", "weighted", "--rows", 0, "--leave-source-out")
    mix = ("--target-mix", "drawn=1")  # painted, left out as well, weighs nothing under it
    under, without = (_json(ensembler(*asked, *given, "--json")) for given in (mix, ()))
    assert len(under["left_out"]) == 2
    assert under["left_out"] == without["left_out"]
    assert under["blends"] != without["blends"]
    note = "Not under the mix: these fits and scores weigh rows as the store does."
    assert note in ensembler(*asked, *mix).out
    assert note not in ensembler(*asked).out


def test_budgets_and_members_are_told_in_json(ensembler: Run, plain: Path) -> None:
    asked = ("--blender", "weighted", "--contributions", "--budgets", "--json")
    found = _json(ensembler(*_asking(plain, *asked)))
    seconds = [budget["seconds"] for budget in found["budgets"]]
    assert seconds == sorted(seconds)
    for budget in found["budgets"]:
        assert budget["seconds"] == pytest.approx(sum(SECONDS[m] for m in budget["members"]))
        assert set(budget["held_out"]) == {"score", "interval", "behind", "within_error"}
    assert set(found["contributions"]) == {"losses", "correlations", "drop", "take"}
    weighted = found["blends"]["weighted"]
    assert weighted["seconds_per_image"] == pytest.approx(
        sum(SECONDS[name] for name in weighted["members"])
    )


def test_any_number_of_jobs_prints_the_same_numbers(
    ensembler: Run, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--blender", "weighted", "--blender", "gated+ridge", "--leave-source-out", "--json")

    def numbers(jobs: int) -> Any:  # noqa: ANN401 - whatever was printed
        monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path / f"cache of {jobs}"))  # fits anew
        found = _json(ensembler(*_asking(plain, *asked, "--jobs", jobs)))
        for blend in (found, *found["blends"].values()):
            del blend["seconds"]
        return found

    assert numbers(1) == numbers(2) == numbers(4)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_how_to_go_on(
    ensembler: Run, plain: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def interrupted(*given: Any) -> Any:  # noqa: ANN401 - whatever is given and found
        os.kill(os.getpid(), how)
        return compare(*given)

    with monkeypatch.context() as patch:
        patch.setitem(vars(run), "compare", interrupted)
        ran = ensembler(*_asking(plain, "--blender", "uniform"))
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.strip() == "Interrupted. The same command goes on: finished fits are kept."
    assert signal.getsignal(signal.SIGTERM) == before
    assert ensembler(*_asking(plain, "--blender", "uniform")).code == 0


def test_the_choice_itself_is_scored_without_each_fold(ensembler: Run, plain: Path) -> None:
    asked = _asking(plain, "--blender", "weighted", "--blender", "greedy", "--rows", 0)
    found = _json(ensembler(*asked, "--json"))
    choice = found["choice"]["held_out"]
    assert set(choice) == {"score", "interval", "versus"}
    (less,) = choice["versus"].values()
    chosen = found["blends"][found["chosen"]]["held_out"]["score"]
    assert choice["score"] - chosen == pytest.approx(less["difference"])
    low, high = choice["interval"]
    said = f"(of fits that saw the fold): {choice['score']:.4f} ({low:.4f} … {high:.4f})."
    assert said in " ".join(ensembler(*asked).out.split())


def test_any_column_of_the_samples_breaks_scores_down(
    ensembler: Run, written: Written, plain: Path
) -> None:
    samplers = ["euler", "ddim", ""] * 32
    seeds = [str(row) for row in range(96)]
    world = make_world()
    store = written(replace(world, samples={**world.samples, "sampler": samplers, "seed": seeds}))
    shown = ensembler("store", "show", store).out
    assert "further columns: sampler, seed" in shown
    asked = _asking(store, "--blender", "uniform", "--blender", "greedy", "--rows", 2)
    by = _json(ensembler(*asked, "--by", "sampler", "--json"))
    values = {part["value"]: part["rows"] for part in by["by"]["values"]}
    assert values == {"euler": 32, "ddim": 32, "": 32}
    assert [len(part["members"]) for part in by["by"]["values"]] == [4, 4, 4]
    assert len(by["worst_groups"]) == 2
    table = ensembler(*asked, "--by", "sampler").out
    for words in ("by sampler", "members by sampler", "the worst groups", "(none)", "euler"):
        assert words in table
    assert max(map(len, table.splitlines())) <= WIDTH
    by = _json(ensembler(*asked, "--by", "seed", "--json"))
    assert {part["value"] for part in by["by"]["values"]} == {
        "0 … 23", "24 … 47", "48 … 71", "72 … 95"
    }  # fmt: skip
    brief = ensembler(*_asking(plain, "--blender", "uniform")).out
    assert "by source" in brief
    assert "members by source" not in brief
    refused = ensembler(*asked, "--by", "smapler")
    assert refused.code == 2
    assert "no column named 'smapler'; did you mean 'sampler'?" in refused.err


def test_only_the_members_named_are_compared(ensembler: Run, plain: Path) -> None:
    asked = ("--blender", "uniform", "--members", "m0,m[12]", "--json")
    found = _json(ensembler(*_asking(plain, *asked)))
    assert found["blends"]["uniform"]["members"] == ["m0", "m1", "m2"]


def test_thirty_rows_work_and_say_how_little_they_know(ensembler: Run, written: Written) -> None:
    world = make_world().take(range(30))
    ran = ensembler(*_asking(written(world)))
    assert ran.code == 0, ran.err
    assert "30 rows in 8 groups; 4 folds of whole groups." in ran.out
    said = " ".join(ran.out.split())
    assert " 8 groups are few to choose by: others may well choose another." in said
    assert "The intervals are rough: they rest on only 8 groups." in ran.out
    assert "30 rows are few" in ran.out


def test_fewer_groups_than_folds_make_each_group_a_fold(ensembler: Run, written: Written) -> None:
    world = make_world().take(range(16))
    samples = {key: values for key, values in world.samples.items() if key != "fold"}
    asked = ("--blender", "weighted", "--json")
    found = _json(ensembler(*_asking(written(replace(world, samples=samples)), *asked)))
    assert (found["groups"], found["folds"]) == (4, 4)


def test_a_source_with_one_row_is_scored_on_it(ensembler: Run, written: Written) -> None:
    world = make_world()
    source = ["lone", *("drawn" for _ in range(95))]
    path = written(replace(world, samples={**world.samples, "source": source}))
    asked = _asking(path, "--blender", "weighted", "--leave-source-out")
    found = _json(ensembler(*asked, "--json"))
    (left_out,) = found["left_out"]
    assert (left_out["source"], left_out["rows"], found["kept_in"]) == ("lone", 1, ["drawn"])
    told = ensembler(*asked).out
    assert "Without drawn the others are too few to fit on." in told
    assert "is the safest" not in told  # there is no other to compare with


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--blender", "weigted"), "no blender named 'weigted'; did you mean 'weighted'?"),
        (("--blender", "auto"), "leave --blender out to compare every blender"),
        (("--blender", "weighted:shrinkag=1"), "did you mean 'shrinkage'?"),
        (("--blender", "fixed"), "fixed: there are no weights to replay"),
        (("--blender", "greedy", "--by", "grup"), "no column named 'grup'; did you mean 'group'?"),
        (("--target-mix", "drwan=1"), "no source named 'drwan'; did you mean 'drawn'?"),
        (("--target-mix", "drawn=0"), "gives every source the share 0"),
        (("--target-mix", "drawn"), "'drawn' is not of the form source=weight"),
        (("--target-mix", "drawn=x"), "'x' is not a number"),
        (("--target-mix", "drawn=1", "--target-mix", "drawn=2"), "'drawn' is given twice"),
        (("--blender", "greedy", "--blender", "greedy"), "two contestants are called greedy"),
        (("--blender", "greedy", "--contributions"), "those of the weighted blend, which is not"),
        (("--blender", "weighted:budget=0.01"), "the fastest is 'm3' with 0.05 s"),
        (("--corpus", "none.safetensors"), "there is no corpus none.safetensors"),
        (("--members", "m7"), "no member named 'm7'"),
        (("--spec", "none.json"), "none.json"),
        (("--study", "quik"), "no study named 'quik'"),
        (("--blender", "gains:basis=corpus"), "need one: give it with --corpus"),
    ],
)
def test_a_mistake_ends_with_2_and_says_the_remedy(
    ensembler: Run, plain: Path, options: tuple[str, ...], message: str
) -> None:
    ran = ensembler(*_asking(plain, *options))
    assert (ran.code, ran.out) == (2, "")
    assert message in " ".join(ran.err.split())


def test_budgets_of_members_without_seconds_name_them(ensembler: Run, written: Written) -> None:
    ran = ensembler(*_asking(written(make_world()), "--blender", "weighted", "--budgets"))
    assert (ran.code, ran.out) == (2, "")
    assert "no seconds per image are known of member m0, m1, m2, m3" in ran.err


def test_one_group_is_too_few(ensembler: Run, written: Written) -> None:
    world = make_world().take(range(8))
    samples = {**world.samples, "group": ["g"] * 8, "fold": ["0"] * 8}
    ran = ensembler(*_asking(written(replace(world, samples=samples), SECONDS)))
    assert ran.code == 2
    assert "1 group is too few to hold one out; 3 are needed" in ran.err


@pytest.mark.parametrize(("source", "said"), [("sd", "source 'sd'"), ("", "one unnamed source")])
def test_one_source_cannot_be_left_out(
    ensembler: Run, written: Written, source: str, said: str
) -> None:
    world = make_world()
    alike = replace(world, samples={**world.samples, "source": [source] * len(world)})
    ran = ensembler(*_asking(written(alike), "--leave-source-out"))
    assert (ran.code, ran.out) == (2, "")
    assert f"no source can be left out: all samples are of {said}; name sources" in ran.err


def test_samples_of_no_source_are_told_apart_from_those_of_one(
    ensembler: Run, written: Written
) -> None:
    world = make_world()
    source = ["sd" if row % 2 else "" for row in range(len(world))]
    path = written(replace(world, samples={**world.samples, "source": source}))
    told = ensembler(*_asking(path, "--blender", "uniform", "--leave-source-out")).out
    assert [line.split()[:2] for line in told.splitlines() if line.startswith("(none) ")] == [
        ["(none)", "48"],
        ["(none)", "48"],
    ]


def test_one_blend_alone_is_neither_chosen_nor_the_best(ensembler: Run, plain: Path) -> None:
    told = ensembler(*_asking(plain, "--blender", "uniform", "--rows", 0)).out
    assert "*" not in told
    assert "the best, and none simpler" not in told


def test_specs_of_different_stores_are_not_compared(
    ensembler: Run, plain: Path, written: Written
) -> None:
    world = make_world()
    longer = {name: vectors * np.float32(2.0) for name, vectors in world.members.items()}
    other = written(world.with_members(longer))
    for store, spec in ((plain, "one.json"), (other, "two.json")):
        assert ensembler("fit", store, "--study", "quick.toml", "--spec", spec).code == 0
    ran = ensembler(*_asking(plain, "--spec", "one.json", "--spec", "two.json"))
    assert (ran.code, ran.out) == (2, "")
    assert "two.json" in ran.err
    assert "name the store it came from" in " ".join(ran.err.split())


def test_a_store_without_targets_cannot_be_evaluated(
    ensembler: Run, write_store: Callable[..., Any]
) -> None:
    vectors = np.eye(12, 8, dtype=np.float32)
    ran = ensembler(*_asking(write_store(None, {"m0": vectors}, rows=12).path))
    assert (ran.code, ran.out) == (2, "")
    assert "has no targets (a store of test embeddings)" in ran.err


def test_a_sample_table_whose_weights_are_all_0_makes_no_store(
    ensembler: Run, tmp_path: Path
) -> None:
    (tmp_path / "samples.csv").write_text("id,weight\na,0\nb,0\n")
    ran = ensembler("store", "create", tmp_path / "oof", tmp_path / "samples.csv")
    assert ran.code == 2
    assert "every weight is 0" in ran.err
