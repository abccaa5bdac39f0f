from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from ensembler.errors import StoreError
from ensembler.files import canonical_json, sha256_arrays
from ensembler.folds import group_folds
from ensembler.store.audit import Finding, Kind, audit
from ensembler.store.model import Manifest, MemberRecord, SamplesRecord, TargetsRecord
from ensembler.store.reader import Store
from ensembler.store.samples import samples_digest

ROWS, GROUPS, DIM = 240, 60, 32

Array = NDArray[Any]


@dataclass
class MemberFiles:
    """A member on its way to disk."""

    rows: Array
    embeddings: Array
    captions: list[str] | None = None


@dataclass
class StoreFiles:
    """A store on its way to disk; tests change parts of it before `open`."""

    samples: dict[str, Any]
    targets: Array | None
    members: dict[str, MemberFiles] = field(default_factory=dict)

    def open(self, folder: Path) -> Store:
        folder.mkdir(parents=True)
        table = pa.table(self.samples)
        pq.write_table(table, folder / "samples.parquet")
        targets = None
        if self.targets is not None:
            np.save(folder / "targets.npy", self.targets)
            targets = TargetsRecord(sha256=sha256_arrays(self.targets))
        manifest = Manifest(
            dim=DIM,
            samples=SamplesRecord(
                rows=table.num_rows,
                columns=tuple(table.column_names),
                sha256=samples_digest(table),
            ),
            targets=targets,
            members=tuple(self._write(folder, name) for name in self.members),
        )
        (folder / "manifest.json").write_bytes(canonical_json(manifest.model_dump(mode="json")))
        return Store.open(folder)

    def _write(self, folder: Path, name: str) -> MemberRecord:
        member = self.members[name]
        home = folder / "members" / name
        home.mkdir(parents=True)
        np.save(home / "rows.npy", member.rows)
        np.save(home / "embeddings.npy", member.embeddings)
        if member.captions is not None:
            ids = [self.samples["id"][row] for row in member.rows]
            captions = pa.table({"id": ids, "caption": member.captions})
            pq.write_table(captions, home / "captions.parquet")
        return MemberRecord(
            name=name,
            rows=len(member.rows),
            zero_rows=int((~member.embeddings.any(axis=1)).sum()),
            dim=DIM,
            dtype="float16" if member.embeddings.dtype == np.float16 else "float32",
            captions=member.captions is not None,
            sha256=sha256_arrays(member.rows, member.embeddings),
        )


def unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def sound(rows: int = ROWS, groups: int = GROUPS) -> StoreFiles:
    """A clean store whose targets repeat within groups, one source after the other.

    Members: full and strong; partial and of any scale, in float16; partial and hardly better than
    random pairing; and captions that repeat a prompt of one word.
    """
    rng = np.random.default_rng(0)
    prompts = unit(rng.normal(size=(groups, DIM)) + 0.3)
    group = np.arange(rows) % groups
    names = np.array([f"group {number}" for number in group])
    shuffled = rng.permutation(rows)
    files = StoreFiles(
        samples={
            "id": [f"{number:04d}" for number in shuffled],
            "fold": group_folds(names, 4),
            "group": list(names),
            "source": [f"source {row // groups}" for row in range(rows)],
            "prompt": [
                "Checkerboard." if number % 10 == 0 else f"A drawing of thing {number}."
                for number in group
            ],
        },
        targets=prompts[group].astype(np.float32),
    )

    def seen(signal: float, covered: Array) -> Array:
        own = rng.normal(size=DIM)  # a direction that all its rows share
        noise = rng.normal(size=(len(covered), DIM))
        return np.asarray(own + noise + signal * DIM**0.5 * prompts[group[covered]])

    everything = np.arange(rows)
    some = np.sort(rng.choice(rows, size=rows * 3 // 4, replace=False))
    scale = np.exp(rng.normal(size=(len(some), 1)))
    files.members = {
        "strong": MemberFiles(everything, seen(1.0, everything).astype(np.float32)),
        "partial": MemberFiles(some, (scale * seen(0.8, some)).astype(np.float16)),
        "weak": MemberFiles(some, seen(0.05, some).astype(np.float32)),
        "captions": MemberFiles(
            everything,
            seen(0.5, everything).astype(np.float32),
            [
                "a checkerboard on a wall" if number % 10 == 0 else f"thing {number}, drawn"
                for number in group
            ],
        ),
    }
    return files


@pytest.fixture
def files() -> StoreFiles:
    return sound()


def the_finding(store: Store) -> Finding:
    (finding,) = audit(store)
    assert "\n" not in finding.message
    return finding


def test_a_clean_store_has_no_finding(files: StoreFiles, tmp_path: Path) -> None:
    assert audit(files.open(tmp_path / "oof")) == ()


def test_a_store_of_test_embeddings_is_audited_without_targets(
    files: StoreFiles, tmp_path: Path
) -> None:
    files.targets = None
    files.samples["fold"] = np.full(ROWS, -1)
    files.members["strong"].embeddings[3] = np.inf
    assert the_finding(files.open(tmp_path / "oof")).kind is Kind.NAN


@pytest.mark.parametrize("seed", range(20))
def test_a_member_without_any_signal_is_not_called_misaligned(
    seed: int, files: StoreFiles, tmp_path: Path
) -> None:
    noise = np.random.default_rng(seed).normal(size=(GROUPS, DIM)).astype(np.float32)
    files.members = {"noise": MemberFiles(np.arange(ROWS), noise[np.arange(ROWS) % GROUPS])}
    assert audit(files.open(tmp_path / "oof")) == ()


def test_nan_and_infinite_rows_are_one_finding_that_names_their_ids(
    files: StoreFiles, tmp_path: Path
) -> None:
    files.members["partial"].embeddings[7, 3] = np.nan
    files.members["partial"].embeddings[9] = -np.inf
    finding = the_finding(files.open(tmp_path / "oof"))
    ids = [files.samples["id"][files.members["partial"].rows[place]] for place in (7, 9)]
    assert (finding.kind, finding.member, finding.rows) == (Kind.NAN, "partial", 2)
    assert ", ".join(ids) in finding.message
    assert finding.message.endswith("leave them out and add 'partial' again")


def test_nan_in_the_targets_is_the_stores_finding(files: StoreFiles, tmp_path: Path) -> None:
    assert files.targets is not None
    files.targets[5, 0] = np.nan
    finding = the_finding(files.open(tmp_path / "oof"))
    assert (finding.kind, finding.member, finding.rows) == (Kind.NAN, None, 1)


def test_zero_rows_are_counted_and_the_remedy_is_to_predict_them(
    files: StoreFiles, tmp_path: Path
) -> None:
    files.members["strong"].embeddings[[1, 4, 6]] = 0.0
    finding = the_finding(files.open(tmp_path / "oof"))
    assert (finding.kind, finding.member, finding.rows) == (Kind.ZERO_NORM, "strong", 3)
    assert "predict them" in finding.message


def test_a_member_of_nothing_but_nan_gives_that_finding_alone(
    files: StoreFiles, tmp_path: Path
) -> None:
    files.members["strong"].embeddings[:] = np.nan
    assert the_finding(files.open(tmp_path / "oof")).kind is Kind.NAN


@pytest.mark.parametrize("name", ["targets.npy", "members/weak/embeddings.npy"])
def test_a_changed_array_is_a_hash_finding(name: str, files: StoreFiles, tmp_path: Path) -> None:
    store = files.open(tmp_path / "oof")
    array = np.load(store.path / name)
    array[0, 0] += np.float32(0.001)
    np.save(store.path / name, array)
    finding = the_finding(store)
    assert finding.kind is Kind.HASH
    assert finding.member == ("weak" if "weak" in name else None)
    assert Path(name).name in finding.message
    assert "again" in finding.message


def test_changed_samples_are_a_hash_finding(files: StoreFiles, tmp_path: Path) -> None:
    store = files.open(tmp_path / "oof")
    files.samples["source"][0] = "elsewhere"
    pq.write_table(pa.table(files.samples), store.path / "samples.parquet")
    finding = the_finding(store)
    assert (finding.kind, finding.member, finding.rows) == (Kind.HASH, None, ROWS)


def test_a_samples_file_written_in_another_framing_keeps_its_hash(
    files: StoreFiles, tmp_path: Path
) -> None:
    store = files.open(tmp_path / "oof")
    table = pq.read_table(store.path / "samples.parquet")
    pq.write_table(table, store.path / "samples.parquet", compression="gzip", row_group_size=7)
    assert audit(store) == ()


def test_a_truncated_file_is_an_error_not_a_finding(files: StoreFiles, tmp_path: Path) -> None:
    store = files.open(tmp_path / "oof")
    path = store.path / "members/weak/embeddings.npy"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(StoreError, match="truncated"):
        audit(store)


def test_a_member_of_one_direction_is_constant_whatever_its_scale(
    files: StoreFiles, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    direction = unit(rng.normal(size=(1, DIM)))
    rows = direction * rng.uniform(0.1, 9.0, size=(ROWS, 1)) + 1e-4 * rng.normal(size=(ROWS, DIM))
    files.members["stuck"] = MemberFiles(np.arange(ROWS), rows.astype(np.float32))
    finding = the_finding(files.open(tmp_path / "oof"))
    assert (finding.kind, finding.member, finding.rows) == (Kind.CONSTANT, "stuck", ROWS)
    assert "check that its weights were loaded" in finding.message


def test_a_scaled_float16_copy_with_fewer_rows_is_a_twin_and_the_later_member_is_named(
    files: StoreFiles, tmp_path: Path
) -> None:
    strong = files.members["strong"]
    half = (4.0 * strong.embeddings[::2]).astype(np.float16)
    half[3] = np.nan
    files.members["copy"] = MemberFiles(strong.rows[::2], half)
    nan, twin = audit(files.open(tmp_path / "oof"))
    assert nan.kind is Kind.NAN
    assert (twin.kind, twin.member, twin.rows) == (Kind.TWIN, "copy", ROWS // 2 - 1)
    assert "'strong'" in twin.message
    assert "remove one" in twin.message


def test_three_equal_members_are_three_twins(files: StoreFiles, tmp_path: Path) -> None:
    files.members["second"] = files.members["third"] = files.members["weak"]
    found = audit(files.open(tmp_path / "oof"))
    assert [finding.member for finding in found] == ["second", "third", "third"]
    assert {finding.kind for finding in found} == {Kind.TWIN}


def test_two_seeds_of_one_model_are_no_twins(files: StoreFiles, tmp_path: Path) -> None:
    strong = files.members["strong"]
    noise = np.random.default_rng(2).normal(size=strong.embeddings.shape)
    second = unit(strong.embeddings) + 0.02 * noise
    files.members["seed2"] = MemberFiles(strong.rows, second.astype(np.float32))
    assert audit(files.open(tmp_path / "oof")) == ()


def test_members_without_a_common_row_are_no_twins(files: StoreFiles, tmp_path: Path) -> None:
    strong = files.members["strong"]
    files.members = {
        "even": MemberFiles(strong.rows[::2], strong.embeddings[::2].copy()),
        "odd": MemberFiles(strong.rows[1::2], strong.embeddings[::2].copy()),
    }
    found = audit(files.open(tmp_path / "oof"))
    assert Kind.TWIN not in {finding.kind for finding in found}


def test_targets_in_a_twentieth_of_the_rows_are_a_leak(files: StoreFiles, tmp_path: Path) -> None:
    assert files.targets is not None
    strong = files.members["strong"]
    strong.embeddings[::20] = 3.0 * files.targets[::20]
    strong.embeddings = strong.embeddings.astype(np.float16)
    finding = the_finding(files.open(tmp_path / "oof"))
    assert (finding.kind, finding.member, finding.rows) == (Kind.LEAK, "strong", ROWS // 20)
    assert "predict them without the prompts" in finding.message


def test_prompts_in_a_twentieth_of_the_captions_are_a_leak(
    files: StoreFiles, tmp_path: Path
) -> None:
    captions = files.members["captions"].captions
    assert captions is not None
    for row in range(1, ROWS, 20):
        captions[row] = f'it says "a DRAWING of thing {row % GROUPS}", I think'
    finding = the_finding(files.open(tmp_path / "oof"))
    assert (finding.kind, finding.member, finding.rows) == (Kind.LEAK, "captions", ROWS // 20)


def test_a_caption_that_continues_the_prompts_last_word_is_no_leak(
    files: StoreFiles, tmp_path: Path
) -> None:
    captions = files.members["captions"].captions
    assert captions is not None
    for row in range(1, ROWS, 20):
        captions[row] = f"a drawing of thing {row % GROUPS}0"
    assert audit(files.open(tmp_path / "oof")) == ()


def test_one_repeated_prompt_among_many_captions_is_no_leak(
    files: StoreFiles, tmp_path: Path
) -> None:
    captions = files.members["captions"].captions
    assert captions is not None
    captions[1] = "A drawing of thing 1."
    assert audit(files.open(tmp_path / "oof")) == ()


def test_seven_rows_that_are_all_their_targets_are_a_leak_and_nothing_else(
    tmp_path: Path,
) -> None:
    files = sound(rows=7, groups=7)
    assert files.targets is not None
    files.members = {"answer": MemberFiles(np.arange(7), files.targets)}
    finding = the_finding(files.open(tmp_path / "oof"))
    assert (finding.kind, finding.member, finding.rows) == (Kind.LEAK, "answer", 7)


def sorted_ids(files: StoreFiles, member: MemberFiles) -> Array:
    return np.argsort(np.array(files.samples["id"])[member.rows])


Disorder = Callable[[StoreFiles, MemberFiles], Array]
DISORDERS: dict[str, tuple[Disorder, str]] = {
    "by one": (lambda _, member: np.roll(member.embeddings, 1, axis=0), "shifted by +1 "),
    "by seven": (lambda _, member: np.roll(member.embeddings, -7, axis=0), "shifted by -7 "),
    "far": (lambda _, member: np.roll(member.embeddings, 70, axis=0), "shifted by "),
    "sorted": (
        lambda files, member: member.embeddings[sorted_ids(files, member)],
        "rows are in the order of sorted ids",
    ),
    "unsorted": (
        lambda files, member: member.embeddings[np.argsort(sorted_ids(files, member))],
        "rows in the order of the samples were given sorted ids",
    ),
}


@pytest.mark.parametrize("disorder", DISORDERS)
@pytest.mark.parametrize("name", ["strong", "partial"])
def test_a_member_in_another_order_is_misaligned_and_the_order_is_named(
    name: str, disorder: str, files: StoreFiles, tmp_path: Path
) -> None:
    member = files.members[name]
    disordered, words = DISORDERS[disorder]
    files.members[name] = replace(member, embeddings=disordered(files, member))
    finding = the_finding(files.open(tmp_path / "oof"))
    assert (finding.kind, finding.member) == (Kind.MISALIGNED, name)
    assert finding.rows == len(member.rows)
    assert words in finding.message
    assert f"correct the ids of its file and add {name!r} again" in finding.message


def test_the_message_says_how_much_the_right_order_restores(
    files: StoreFiles, tmp_path: Path
) -> None:
    assert files.targets is not None
    strong = files.members["strong"]
    files.members["strong"] = MemberFiles(strong.rows, np.roll(strong.embeddings, 2, axis=0))
    finding = the_finding(files.open(tmp_path / "oof"))
    pairs = unit(strong.embeddings.astype(np.float64)) @ files.targets.T.astype(np.float64)
    stored = np.mean([pairs[row - 2, row] for row in range(ROWS)])
    assert f"is {stored:.3f} as stored (random pairing: {pairs.mean():.3f})" in finding.message
    assert f"and {np.diag(pairs).mean():.3f} with that undone" in finding.message


def test_a_shift_along_the_samples_is_found_where_only_some_rows_are_kept(
    files: StoreFiles, tmp_path: Path
) -> None:
    some = files.members["weak"].rows
    shifted = np.roll(files.members["strong"].embeddings, 3, axis=0)[some]
    files.members["strong"] = MemberFiles(some, shifted)
    finding = the_finding(files.open(tmp_path / "oof"))
    assert finding.kind is Kind.MISALIGNED
    assert "shifted by +3 along the samples" in finding.message


def test_rows_moved_down_without_wrapping_are_misaligned(files: StoreFiles, tmp_path: Path) -> None:
    strong = files.members["strong"]
    files.members["strong"] = MemberFiles(strong.rows[5:], strong.embeddings[:-5].copy())
    assert "shifted by +5 along the samples" in the_finding(files.open(tmp_path / "oof")).message


def test_a_shift_by_one_among_neighbours_of_one_group_is_found(
    files: StoreFiles, tmp_path: Path
) -> None:
    assert files.targets is not None
    together = np.argsort(np.arange(ROWS) % GROUPS, kind="stable")  # groups of four in a row
    files.targets = files.targets[together]
    for column, values in files.samples.items():
        files.samples[column] = [values[row] for row in together]
    shifted = np.roll(files.members["strong"].embeddings[together], 1, axis=0)
    files.members = {"strong": MemberFiles(np.arange(ROWS), shifted)}
    assert "shifted by +1 " in the_finding(files.open(tmp_path / "oof")).message


def test_a_shift_is_found_beside_nan_and_zero_rows(files: StoreFiles, tmp_path: Path) -> None:
    shifted = np.roll(files.members["strong"].embeddings, 1, axis=0)
    shifted[::30], shifted[1::30] = np.nan, 0.0
    files.members["strong"] = MemberFiles(np.arange(ROWS), shifted)
    found = audit(files.open(tmp_path / "oof"))
    assert [finding.kind for finding in found] == [Kind.NAN, Kind.ZERO_NORM, Kind.MISALIGNED]
    assert "shifted by +1 " in found[-1].message


def test_the_shift_is_the_same_when_columns_come_in_chunks(
    files: StoreFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shifted = np.roll(files.members["strong"].embeddings, 9, axis=0)
    files.members["strong"] = MemberFiles(np.arange(ROWS), shifted)
    store = files.open(tmp_path / "oof")
    whole = the_finding(store)
    monkeypatch.setattr("ensembler.store.audit.alignment.CELLS", 5 * ROWS)
    monkeypatch.setattr("ensembler.store.audit.survey.BLOCK", 17)
    assert the_finding(store) == whole


@pytest.mark.parametrize(("rows", "groups"), [(30, 30), (60, 12), (100, 20)])
def test_a_dozen_groups_are_enough_to_find_a_shift(rows: int, groups: int, tmp_path: Path) -> None:
    files = sound(rows, groups)
    strong = files.members["strong"]
    files.members = {"strong": MemberFiles(strong.rows, np.roll(strong.embeddings, -7, axis=0))}
    assert "shifted by " in the_finding(files.open(tmp_path / "oof")).message


def test_too_few_rows_to_tell_give_no_finding(tmp_path: Path) -> None:
    files = sound(rows=7, groups=7)
    strong = files.members["strong"]
    files.members = {"strong": MemberFiles(strong.rows, np.roll(strong.embeddings, 1, axis=0))}
    assert audit(files.open(tmp_path / "oof")) == ()


def test_a_group_in_two_folds_is_a_finding_that_names_it(files: StoreFiles, tmp_path: Path) -> None:
    fold = files.samples["fold"]
    fold[0] = (fold[0] + 1) % 4
    finding = the_finding(files.open(tmp_path / "oof"))
    assert (finding.kind, finding.member) == (Kind.GROUP_ACROSS_FOLDS, None)
    assert finding.rows == ROWS // GROUPS
    assert "(group 0)" in finding.message
    assert "without a fold column" in finding.message


def some_missing(fold: Array) -> Array:
    return np.where(np.arange(ROWS) % GROUPS < 3, -1, fold)


def lopsided(_: Array) -> Array:
    return np.where(np.arange(ROWS) % GROUPS < 6, 1, 0)


FOLDS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "none": (lambda fold: np.full_like(fold, -1), f"{ROWS} of {ROWS} rows have no fold"),
    "missing": (some_missing, f"12 of {ROWS} rows have no fold"),
    "single": (np.zeros_like, "nothing is held out"),
    "empty": (lambda fold: np.where(fold == 3, 5, fold), "no row is in 3, 4"),
    "unequal": (lopsided, "fold 0 holds 216 rows, fold 1 only 24"),
}


@pytest.mark.parametrize("case", FOLDS)
def test_unfit_folds_are_a_finding_that_says_which(
    case: str, files: StoreFiles, tmp_path: Path
) -> None:
    change, words = FOLDS[case]
    files.samples["fold"] = change(files.samples["fold"])
    finding = the_finding(files.open(tmp_path / "oof"))
    assert (finding.kind, finding.member) == (Kind.FOLDS, None)
    assert words in finding.message
    assert "without a fold column" in finding.message


@pytest.mark.parametrize(
    ("light", "words"),
    [
        ([1], "no row has a positive weight in fold 1: nothing is scored there; give"),
        (
            [0, 1, 3],
            "in fold 0, 1, 3: nothing is scored there, and without fold 2 there is nothing",
        ),
    ],
)
def test_folds_without_weight_are_a_finding_that_names_them(
    light: list[int], words: str, files: StoreFiles, tmp_path: Path
) -> None:
    weightless = np.isin(files.samples["fold"], light)
    files.samples["weight"] = np.where(weightless, 0.0, 1.0)
    finding = the_finding(files.open(tmp_path / "oof"))
    assert (finding.kind, finding.rows) == (Kind.FOLDS, weightless.sum())
    assert words in finding.message


def test_folds_numbered_from_one_are_sound(files: StoreFiles, tmp_path: Path) -> None:
    files.samples["fold"] = files.samples["fold"] + 1
    assert audit(files.open(tmp_path / "oof")) == ()


def test_the_committed_store_has_no_finding() -> None:
    oof = Path(__file__).parents[2] / "oof"
    assert audit(Store.open(oof)) == ()
