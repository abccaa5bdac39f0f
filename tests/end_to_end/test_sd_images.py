"""Real images, real pretrained weights, the real command line: from a folder of images to a score.

Stable Diffusion images with their prompts, a fifth of them held back. Two neighbour searches over
EfficientNet-Lite towers and a captioner, both of the plug-in package, are dumped out of fold on the
rest, blended, and applied to those held back and to the competition's seven.

Every second image is taken, for time: all 983 take some four minutes on two cores, nearly all of it
embedding. The README has their figures.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.sd_images import write_predictors
from benchmarks.trained_towers import ALONE, ensembler
from ensembler.folds import group_folds
from ensembler.metrics import mean_cosine, paired_cosine
from ensembler.scoring.intervals import GroupBootstrap, Interval
from ensembler.spec.loading import load_spec
from ensembler.store.encoder import load_encoder
from ensembler.store.reader import Store

DATA = Path(__file__).parents[3] / "shared" / "data"
SD_IMAGES, COMPETITION = DATA / "sd_images", DATA / "competition_sample"
MEMBERS = ("retrieval_lite0", "retrieval_lite1", "labels")
DIM = 384
EVERY = 2  # of the images

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared")


class HeldBack(NamedTuple):
    """The images held back, by id, with what their prompts mean."""

    ids: list[str]
    targets: NDArray[np.float32]
    groups: NDArray[np.str_]

    def bootstrap(self) -> GroupBootstrap:
        return GroupBootstrap(self.groups, np.ones(len(self.ids)), seed=0)


def read_submission(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    """The ids in their order and (ids, DIM) values; keys must be in order within an id."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["imgId_eId", "val"]
    ids = [key.removesuffix("_0") for key, _ in rows[::DIM]]
    assert [key for key, _ in rows] == [f"{id_}_{place}" for id_ in ids for place in range(DIM)]
    return ids, np.array([float(value) for _, value in rows]).reshape(-1, DIM)


@contextmanager
def one_thread(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch's threads wait for each other where something else wants the cores."""
    import torch

    before = torch.get_num_threads()
    patch.setenv("OMP_NUM_THREADS", "1")  # of predict's worker
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def held_back(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeldBack]:
    """Everything up to the fitted spec; the current folder holds it while the tests run.

    samples.csv and images/ are of the two parts: the store is made of the first alone.
    """
    folder = tmp_path_factory.mktemp("sd_images")
    with (SD_IMAGES / "prompts.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::EVERY]
    prompts = np.array([row["prompt"] for row in rows])
    held = group_folds(prompts, 5) == 0
    with pytest.MonkeyPatch.context() as patch, one_thread(patch):
        patch.chdir(folder)
        with Path("samples.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["imgId", "prompt"])
            table.writeheader()
            table.writerows(row for row, apart in zip(rows, held, strict=True) if not apart)
        Path("images").mkdir()
        ids = [row["imgId"] for row, apart in zip(rows, held, strict=True) if apart]
        for id_ in ids:
            shutil.copy(SD_IMAGES / "images" / f"{id_}.jpg", "images")
        write_predictors(Path("predictors"))
        Path("alone.toml").write_text(ALONE)

        ensembler("store", "create", "oof", "samples.csv")
        for member in MEMBERS:
            definition = f"predictors/{member}.toml"
            where = ("--predictor", definition, "--images", SD_IMAGES / "images")
            ensembler("dump", "oof", member, *where, "--batch", 8)
        ensembler("store", "audit", "oof")  # a leak, a twin or a misaligned row would end it
        ensembler("fit", "oof")
        yield HeldBack(ids, load_encoder().encode(prompts[held].tolist()), prompts[held])


@pytest.fixture(scope="module")
def predicted(held_back: HeldBack) -> Mapping[str, NDArray[np.float64]]:
    """Vectors of the images held back: of the blend, of each member alone, of the constant mean.

    The members' own come from specs of one member each, which find their vectors in the blend's
    work folder.
    """
    where = ("--checkpoints", "predictors", "--work", "work", "--device", "cpu", "--batch", 8)
    ensembler("predict", "images", *where, "--out", "blend.csv")
    for member in MEMBERS:
        spec = f"{member}.json"
        ensembler("fit", "oof", "--study", "alone.toml", "--members", member, "--spec", spec)
        ensembler("predict", "images", *where, "--spec", spec, "--out", f"{member}.csv")
    found = {}
    for name in ("blend", *MEMBERS):
        ids, found[name] = read_submission(Path(f"{name}.csv"))
        assert ids == sorted(held_back.ids)
    prior = Store.open("oof").targets().mean(axis=0, dtype=np.float64)
    return found | {"constant": np.tile(prior, (len(held_back.ids), 1))}


def lead(held_back: HeldBack, better: NDArray[np.float64], worse: NDArray[np.float64]) -> Interval:
    """The 95 % interval of a difference in score, whole groups drawn together."""
    scores = [paired_cosine(vectors, held_back.targets) for vectors in (better, worse)]
    return held_back.bootstrap().interval(scores[0] - scores[1])


def test_a_fifth_of_the_images_is_held_back_and_in_no_store(held_back: HeldBack) -> None:
    samples = Store.open("oof").samples
    assert (len(samples), len(held_back.ids)) == (393, 99)
    assert not set(held_back.ids) & set(samples.id.tolist())
    assert samples.prompt is not None
    assert not set(held_back.groups.tolist()) & set(samples.prompt.tolist())


@pytest.mark.usefixtures("held_back")
def test_every_sample_is_dumped_with_what_it_was_made_from() -> None:
    store = Store.open("oof")
    assert store.samples.prompt is not None
    assert store.names == MEMBERS
    for member in store.members():
        (checkpoint,) = member.record.origin.checkpoints
        assert member.record.rows == len(store.samples)
        assert all(Path("predictors", file.path).exists() for file in checkpoint.files)
    captions = store.member("labels").captions()
    assert captions is not None
    said = zip(captions["id"].to_pylist(), captions["caption"].to_pylist(), strict=True)
    prompts = dict(zip(store.samples.id.tolist(), store.samples.prompt, strict=True))
    assert np.mean([caption in prompts[id_] for id_, caption in said]) > 0.5


def test_the_constant_mean_scores_what_the_data_say_it_does(
    held_back: HeldBack, predicted: Mapping[str, NDArray[np.float64]]
) -> None:
    assert mean_cosine(predicted["constant"], held_back.targets) == pytest.approx(0.727, abs=0.005)


@pytest.mark.parametrize("member", ["retrieval_lite0", "retrieval_lite1"])
def test_neighbours_beat_the_constant_mean_beyond_noise(
    held_back: HeldBack, predicted: Mapping[str, NDArray[np.float64]], member: str
) -> None:
    assert lead(held_back, predicted[member], predicted["constant"])[0] > 0.0


def test_the_blend_beats_the_constant_mean_and_every_member_beyond_noise(
    held_back: HeldBack, predicted: Mapping[str, NDArray[np.float64]]
) -> None:
    for other in ("constant", *MEMBERS):
        assert lead(held_back, predicted["blend"], predicted[other])[0] > 0.02


def test_the_score_that_the_fit_promised_is_met_on_the_images_held_back(
    held_back: HeldBack, predicted: Mapping[str, NDArray[np.float64]]
) -> None:
    promised = load_spec("ensemble.json").scores.held_out
    assert promised is not None
    cosines = paired_cosine(predicted["blend"], held_back.targets)
    low, high = held_back.bootstrap().interval(cosines)
    assert low < promised.score < high


@pytest.mark.usefixtures("held_back")
def test_the_competitions_images_give_the_rows_of_its_sample_in_order() -> None:
    sample = COMPETITION / "sample_submission.csv"
    images = COMPETITION / "images"
    where = ("--checkpoints", "predictors", "--device", "cpu", "--batch", 8)
    ensembler("predict", images, *where, "--sample-submission", sample, "--out", "seven.csv")
    written, published = (
        [line.partition(",")[0] for line in path.read_text().splitlines()]
        for path in (Path("seven.csv"), sample)
    )
    assert written == published
    assert len(written) == 1 + 7 * DIM
