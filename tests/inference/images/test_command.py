"""`ensembler predict IMAGES` and `en.predict` as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ensembler as en
from ensembler.errors import InputError, SpecError

MakeWorld = Callable[..., Any]
Run = Callable[..., Any]
PAIR = {"a": {"folds": 2, "noise": 0.1}, "b": {"noise": 0.2}}


@pytest.fixture
def world(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """Two members, in the working folder."""
    world = make_world(PAIR)
    monkeypatch.chdir(world.folder)
    monkeypatch.setenv("ENSEMBLER_CHECKPOINTS", "checkpoints")
    world.spec.save("ensemble.json")
    return world


@pytest.mark.usefixtures("world")
def test_a_table_tells_how_each_member_fared(ensembler: Run) -> None:
    ran = ensembler("predict", "images", "--device", "cpu")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].split() == ["member", "checkpoints", "embedded", "seconds", "ms", "/", "image"]
    fared = {line.split()[0]: line.split()[1:3] + line.split()[-1:] for line in lines[2:4]}
    assert fared == {"a": ["2", "20", "blended"], "b": ["1", "10", "blended"]}
    assert lines[-2:] == [
        "Wrote submission.csv: 10 rows blended from a, b.",
        "Given the prior: 0 rows without a member, 0 whose members cancelled.",
    ]
    assert all(len(line) <= 80 for line in lines)
    assert len(Path("submission.csv").read_text().splitlines()) == 1 + 10 * 5
    assert Path(".submission.csv.work").is_dir()
    again = ensembler("predict", "images", "--device", "cpu")
    assert "embedded: by this run; the rest was in the work folder." in again.out


def test_a_dropped_member_and_a_broken_image_end_with_exit_4(world: Any, ensembler: Run) -> None:  # noqa: ANN401
    world.fault(a={"exit_at": 0})
    (world.images / "i004.png").write_text("no image")
    ran = ensembler("predict", "images", "--device", "cpu")
    assert ran.code == 4
    assert "dropped a: its process ended with code 7: without a word\n" in ran.out
    assert "Without it the blend is expected to score 0." in ran.out
    assert "Warning: members were dropped: a; the weights of the other members were" in ran.err
    assert "Warning: 1 images failed, and where no member has them they got the prior;" in ran.err


def test_json_is_one_object_on_stdout(world: Any, ensembler: Run) -> None:  # noqa: ANN401
    world.fault(a={"exit_at": 0})
    (world.images / "i004.png").write_text("no image")
    ran = ensembler("predict", "images", "--device", "cpu", "--json")
    result = json.loads(ran.out)
    assert ran.code == 4
    assert (result["members"], result["missing_members"]) == (["b"], ["a"])
    runs = {run["name"]: run for run in result["runs"]}
    assert runs["a"]["dropped"] == "its process ended with code 7: without a word"
    assert runs["b"]["embedded"] == 10
    assert [failure["id"] for failure in result["failures"]] == ["i004"]
    assert result["expected_loss"] > 0.0
    assert result["digest"] == world.spec.digest


def test_a_cache_that_is_full_is_told_and_costs_nothing_but_time(
    world: Any,  # noqa: ANN401
    ensembler: Run,
) -> None:
    (world.folder / "file").touch()
    given = ("predict", "images", "--device", "cpu", "--image-cache", "file")
    ran = ensembler(*given)
    assert ran.code == 0
    assert ran.err.startswith("Images were decoded more often than need be: ")
    assert ran.err.endswith("/file takes no more images: Not a directory\n")


def test_a_member_cut_short_is_told_with_what_is_left_of_it(
    world: Any,  # noqa: ANN401
    ensembler: Run,
) -> None:
    def stop(member: str, done: int, total: int) -> None:  # noqa: ARG001
        if member == "a" and done == 10:  # the first of its checkpoints is whole, the other waits
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.predict(progress=stop)
    world.fault(a={"exit_at": 0})
    ran = ensembler("predict", "images", "--device", "cpu")
    assert ran.code == 4
    why = "its process ended with code 7: without a word"
    assert f"a: 1 of 2 checkpoints blended; {why}\n" in ran.out
    assert f"Warning: a was blended from 1 of its 2 checkpoints: {why}.\n" in ran.err
    assert "blended from a, b." in ran.out


def test_strict_exits_2(world: Any, ensembler: Run) -> None:  # noqa: ANN401
    world.fault(a={"exit_at": 0})
    ran = ensembler("predict", "images", "--device", "cpu", "--strict")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Error: member 'a': its process ended with code 7")
    assert not Path("submission.csv").exists()


@pytest.mark.usefixtures("world")
def test_a_deadline_is_a_duration(ensembler: Run) -> None:
    assert ensembler("predict", "images", "--deadline", "1h", "--device", "cpu").code == 0
    ran = ensembler("predict", "images", "--deadline", "soon")
    assert (ran.code, ran.out) == (2, "")
    assert "'soon' is not a duration" in ran.err


@pytest.mark.usefixtures("world")
def test_a_deadline_too_short_for_any_member_gives_the_prior_and_exits_4(ensembler: Run) -> None:
    ran = ensembler("predict", "images", "--deadline", "0.001s", "--device", "cpu", "--json")
    assert ran.code == 4
    assert json.loads(ran.out)["prior_rows"] == 10
    assert "Warning: members were dropped: a, b; every row got the prior" in ran.err
    assert len(Path("submission.csv").read_text().splitlines()) == 1 + 10 * 5


def test_a_checkpoint_that_is_missing_exits_4_and_with_strict_2(
    world: Any,  # noqa: ANN401
    ensembler: Run,
) -> None:
    (world.folder / "checkpoints" / "b-0.npy").unlink()
    given = ("predict", "images", "--device", "cpu")
    ran = ensembler(*given, "--strict")
    assert (ran.code, ran.out) == (2, "")
    assert "member 'b': looked in checkpoints and did not find b-0.npy (weights)" in ran.err
    ran = ensembler(*given)
    assert ran.code == 4
    assert "dropped b: looked in checkpoints and did not find b-0.npy" in ran.out


@pytest.mark.usefixtures("world")
def test_a_run_that_a_scheduler_ends_exits_130_and_the_same_command_goes_on(
    ensembler: Run, sigterm_at: Callable[[int], AbstractContextManager[None]]
) -> None:
    given = ("predict", "images", "--device", "cpu", "--batch", "2")
    with sigterm_at(3):
        ran = ensembler(*given)
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.strip() == "Interrupted. The same command goes on where this one stopped."
    ran = ensembler(*given, "--json")
    assert ran.code == 0
    assert sum(run["embedded"] for run in json.loads(ran.out)["runs"]) < 30


def test_python_predicts_a_folder_as_the_command_does(world: Any) -> None:  # noqa: ANN401
    prediction = en.predict(
        world.spec, "images", checkpoints=["checkpoints"], devices=["cpu"], deadline="8h30m"
    )
    np.testing.assert_array_equal(prediction.embeddings, world.predict(batch=None).embeddings)
    prediction.to_submission("mine.csv")
    assert Path("mine.csv").read_bytes() == Path("submission.csv").read_bytes()


def test_what_is_for_images_is_refused_with_a_store(
    world: Any,  # noqa: ANN401
    write_store: Callable[..., en.Store],
) -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 5))
    store = write_store(None, {"a": vectors}, rows=4)
    for given in ({"deadline": 3}, {"devices": ("cpu",)}, {"checkpoints": ("x",)}):
        with pytest.raises(InputError, match="is a store of embeddings; checkpoints, devices"):
            en.predict(world.spec, store.path, **given)
    assert en.predict(world.spec, store.path, out="of_store.csv").missing_members == ("b",)
    assert Path("of_store.csv").exists()
    with pytest.raises(SpecError, match=r"oof lacks b; add them, or go without"):
        en.predict(world.spec, store.path, strict=True)
