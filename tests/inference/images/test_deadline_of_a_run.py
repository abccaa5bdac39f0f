"""Runs inside a deadline, by a clock that only the tests move.

A worker does not wait for the run to hear of a batch: on a busy machine it may be ahead by a whole
checkpoint. So where a run is to be cut short, the member hangs after the batch that ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from ensembler.errors import InputError, PredictorError
from ensembler.inference.crew import Crew
from ensembler.inference.deadline import Deadline, seconds_of, spell_duration
from ensembler.inference.messages import Embed, Load, Task
from ensembler.inference.missing import blend_without
from ensembler.inference.pace import Pace, Speed

MakeWorld = Callable[..., Any]


@dataclass
class Moved:
    """A clock that moves on by so many seconds with every batch of a member."""

    per_batch: Mapping[str, float]
    now: float = 1000.0
    seen: list[str] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def progress(self, member: str, done: int, total: int) -> None:
        assert 0 < done <= total
        self.seen.append(member)
        self.now += self.per_batch[member]

    def passes_at(self, patch: pytest.MonkeyPatch, kind: type[Task], seconds: float) -> None:
        """It also moves on by so many seconds whenever a worker is sent a task of a kind."""
        send = Crew.send

        def slow(crew: Crew, worker: int, task: Task) -> None:
            self.now += seconds if isinstance(task, kind) else 0.0
            send(crew, worker, task)

        patch.setattr(Crew, "send", slow)

    def run(self, world: Any, seconds: float | None, **given: Any) -> Any:  # noqa: ANN401
        deadline = Deadline.after(seconds, self)
        return world.predict(**{"deadline": deadline, "progress": self.progress, **given})


def hanging_from(world: Any, clock: Moved, member: str, images: int) -> Callable[..., None]:  # noqa: ANN401
    """The clock's progress; after so many images, a checkpoint hangs at its second batch."""

    def progress(name: str, done: int, total: int) -> None:
        clock.progress(name, done, total)
        if (name, done) == (member, images):
            world.fault(**{member: {"hangs_at": 1}})

    return progress


def test_the_member_that_adds_most_per_second_runs_first(make_world: MakeWorld) -> None:
    world = make_world(
        {"slow": {"noise": 0.1, "seconds": 900.0}, "quick": {"noise": 0.3, "seconds": 1.0}}
    )
    run = Moved({"slow": 1.0, "quick": 1.0}).run(world, None)
    assert [one.name for one in run.runs] == ["quick", "slow"]
    assert run.members == ("slow", "quick")


def test_a_deadline_too_short_for_any_member_gives_the_prior_to_all(make_world: MakeWorld) -> None:
    world = make_world({"a": {"seconds": 1.0}, "b": {"seconds": 1.0}}, images=30)
    world.fault(a={"hangs_at": 1}, b={"hangs_at": 1})
    prediction = Moved({"a": 60.0, "b": 60.0}).run(world, 100.0)
    assert prediction.members == ()
    assert prediction.prior_rows == 30
    assert prediction.is_degraded
    first, second = prediction.runs
    assert first.dropped == "it would take another 9m, and 40s are left"
    assert second.dropped == "it would take another 10m, and 40s are left"
    assert len(world.out.read_text().splitlines()) == 1 + 30 * 5
    assert prediction.expected_loss > 0.0


def test_a_member_that_does_not_fit_is_dropped_and_the_rest_is_the_blend_without_it(
    make_world: MakeWorld,
) -> None:
    members = {"a": {"noise": 0.1, "seconds": 1.0}, "b": {"noise": 0.4, "seconds": 10.0}}
    world = make_world(members, images=30)
    clock = Moved({"a": 3.0, "b": 30.0})
    prediction = clock.run(world, 100.0)
    assert clock.seen == ["a"] * 10  # 70 s are left then, and b takes 300 by what a has taught
    assert prediction.members == ("a",)
    assert prediction.runs[1].dropped == "it would take another 5m, and 70s are left"
    world.fault(b={"exit_at": 0})
    without = world.predict(out=None, work=world.folder / "other")
    np.testing.assert_array_equal(prediction.embeddings, without.embeddings)


def test_a_spec_dumped_on_a_slower_machine_does_not_keep_members_out(
    make_world: MakeWorld,
) -> None:
    world = make_world({"a": {"seconds": 1000.0}, "b": {"seconds": 2000.0}})
    assert not Moved({"a": 1.0, "b": 2.0}).run(world, 60.0).is_degraded


def test_from_the_first_finished_member_on_there_is_a_valid_submission(
    make_world: MakeWorld,
) -> None:
    world = make_world({name: {"seconds": 1.0} for name in "abc"})
    seen: dict[str, bytes | None] = {}

    def progress(member: str, done: int, total: int) -> None:  # noqa: ARG001
        seen.setdefault(member, world.out.read_bytes() if world.out.exists() else None)

    world.predict(progress=progress)
    first, second, third = seen.values()
    assert first is None
    assert len({second, third, world.out.read_bytes()}) == 3
    for content in (second, third):
        assert content is not None
        assert len(content.splitlines()) == 1 + 10 * 5


def test_a_member_that_hangs_is_ended_at_the_deadline(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world({"a": {}})
    world.fault(a={"hangs_at": 0})
    clock = Moved({})
    clock.passes_at(monkeypatch, Embed, 299.5)  # of 300 that it had to be loaded
    prediction = clock.run(world, 300.0)
    assert prediction.runs[0].dropped == "the deadline came before it was done"
    assert prediction.prior_rows == 10


def test_what_a_deadline_cut_short_is_finished_by_the_next_run(make_world: MakeWorld) -> None:
    world = make_world({"a": {"folds": 2}}, images=30)
    world.fault(a={"hangs_at": 1})
    cut = Moved({"a": 10.0}).run(world, 90.0)
    assert cut.members == ()
    world.fault()
    (run,) = world.predict().runs
    assert run.embedded < 60
    whole = world.predict(work=world.folder / "fresh")
    np.testing.assert_array_equal(world.predict().embeddings, whole.embeddings)


def test_a_member_cut_short_is_blended_from_the_checkpoints_that_are_whole(
    make_world: MakeWorld,
) -> None:
    world = make_world({"a": {"folds": 3}, "b": {"noise": 0.5, "seconds": 99.0}}, images=30)
    clock = Moved({"a": 10.0})
    prediction = clock.run(world, 250.0, progress=hanging_from(world, clock, "a", 60))
    assert clock.seen == ["a"] * 21  # ten for each; then 40 s are left, and it takes another 90
    assert (prediction.members, prediction.missing_members) == (("a",), ("b",))
    (run,) = prediction.cut_short
    assert (run.name, run.blended, run.checkpoints) == ("a", 2, 3)
    assert run.dropped is not None
    assert prediction.is_degraded
    matrices = {**world.matrices, "a": world.matrices["a"][:2]}
    expected = replace(world, matrices=matrices).naive(blend_without(world.spec, ["b"]))
    np.testing.assert_allclose(prediction.embeddings, expected, atol=1e-5)


def test_a_member_of_which_only_a_checkpoint_fits_gives_way_to_one_that_fits(
    make_world: MakeWorld,
) -> None:
    members = {"a": {"seconds": 1.0}, "b": {"seconds": 1.0}, "c": {"folds": 5, "seconds": 1.0}}
    world = make_world(members, images=30)
    clock = Moved(dict.fromkeys("abc", 1.0))
    prediction = clock.run(world, 37.0, progress=hanging_from(world, clock, "c", 30))
    assert sorted(set(clock.seen[:20])) == ["a", "b"]
    runs = {run.name: run for run in prediction.runs}
    assert (runs["c"].blended, prediction.members) == (1, ("a", "b", "c"))


def test_the_time_to_load_a_member_is_part_of_what_it_takes(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world({name: {"seconds": 1.0} for name in "ab"}, images=30)
    clock = Moved({"a": 1.0, "b": 1.0})
    clock.passes_at(monkeypatch, Load, 40.0)
    prediction = clock.run(world, 95.0)
    first, second = prediction.runs
    assert first.dropped is None
    assert second.dropped == "it would take another 50s, and 45s are left"
    assert set(clock.seen) == {first.name}


def test_nothing_is_decoded_in_the_time_that_is_kept_for_writing(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world({"a": {}, "b": {}}, images=12)
    (world.images / "i005.png").write_bytes(b"")
    monkeypatch.setattr("ensembler.images.stream.load_image", pytest.fail)  # not in the workers
    assert world.predict().failures == ((5, "is empty"),)


def test_a_strict_run_ends_where_a_member_does_not_fit(make_world: MakeWorld) -> None:
    world = make_world({"a": {}}, images=30)
    with pytest.raises(PredictorError, match=r"member 'a': it would take another .* --strict"):
        Moved({"a": 60.0}).run(world, 100.0, strict=True)
    assert not world.out.exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8h30m", 30600.0), ("45m", 2700.0), ("90s", 90.0), ("1h1s", 3601.0), (12.5, 12.5)],
)
def test_durations_are_read_as_people_write_them(text: str | float, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "8h30", "0s", "-1h", "m8", 0, -3.0, float("nan")])
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    with pytest.raises(InputError, match="is not a duration; give one like 8h30m, 45m or 90s"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (-3.0, "0s"),
        (119.0, "119s"),
        (600.0, "10m"),
        (3599.0, "1h00m"),
        (30600, "8h30m"),
    ],
)
def test_durations_are_said_as_people_read_them(seconds: float, text: str) -> None:
    assert spell_duration(seconds) == text


def test_speed_is_the_specs_until_a_member_has_run_and_then_what_was_measured() -> None:
    speed = Speed(devices=2)
    assert speed.expect(3.0, [10]) == 15.0
    assert speed.expect(None, [10]) == 0.0
    speed.learn(2.0, Pace(done=10, seconds=5.0))  # four times as fast as the spec says
    speed.learn(None, Pace(done=10, seconds=7.0))
    speed.learn(2.0, Pace(done=0, seconds=9.0))
    assert speed.expect(3.0, [4, 6]) == pytest.approx(7.5)
    assert speed.expect(None, [20]) == pytest.approx(14.0)


def test_every_checkpoint_costs_what_the_others_took_until_their_first_batch() -> None:
    speed = Speed(devices=1)
    speed.learn(1.0, Pace(done=10, seconds=10.0, loaded=2, loading=60.0))
    speed.learn(1.0, Pace(loaded=1, loading=90.0))  # died before its first batch
    assert speed.expect(1.0, [5, 5]) == pytest.approx(10.0 + 2 * 50.0)
    assert speed.expect(1.0, []) == 0.0


def test_what_is_left_of_a_member_counts_the_checkpoints_to_be_loaded() -> None:
    pace = Pace(parts=[20, 20, 20], done=10, seconds=5.0, loaded=1, loading=30.0)
    assert pace.seconds_left(1) == pytest.approx(5.0)
    assert pace.seconds_left(3) == pytest.approx(25.0 + 2 * 30.0)
    assert Pace(parts=[100], done=4, seconds=400.0, loaded=1).seconds_left(1) == 0.0
    assert Pace(parts=[3], done=4, seconds=4.0, loaded=1).seconds_left(1) == 0.0  # done again
