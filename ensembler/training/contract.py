"""The contract between `ensembler train` and whoever trains a predictor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from ensembler.images.preprocess import Preprocess
from ensembler.store.model import EncoderRecord, Frozen
from ensembler.training.data import TrainingData
from ensembler.training.recipe import Recipe

BEST: Final = "best.safetensors"  # of the epoch that did best on what was held out
LAST: Final = "last.safetensors"  # of the last whole epoch
METRICS: Final = "metrics.jsonl"  # a line for every step and every epoch
STATES: Final = "state*"  # what a training goes on from; removed once its fold is finished
RECORD: Final = "record.json"  # of a fold that is finished

Progress = Callable[[str, int, int], None]  # called with (stage, done, total)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldJob:
    """One checkpoint to train: all that decides its weights, and where they go.

    Attributes:
        recipe: how.
        config: the predictor's, an instance of its adapter's Config.
        data: all prompts, those of the fold among them.
        fold: what is held out.
        images: the folder that the images' paths are relative to.
        weights: what to begin with: role of the adapter → file or folder. Of what is not among
            them the weights are new.
        encoder: a sentence-transformers folder; None takes the one that is installed.
        out: the folder of the fold's files; the first process has made it.
        shared: a folder for what all folds need; it exists.
        digests: what the run is known by: sha256 of the recipe, of the data, and by its role of
            each file that it begins with.
        device: "auto" or "cpu".
        processes: how many must be running; None takes whatever there are.
        workers: threads that decode, in each process.
        save_steps: steps between two states to go on from, besides one at every epoch's end.
        progress: called after every step and every batch of a validation.
    """

    recipe: Recipe
    config: Any
    data: TrainingData
    fold: int
    images: Path
    weights: Mapping[str, Path]
    encoder: Path | None
    out: Path
    shared: Path
    digests: Mapping[str, str]
    device: str
    processes: int | None
    workers: int
    save_steps: int
    progress: Progress


class Trained(Frozen):
    """What became of a fold.

    `best_score` is the mean cosine over the held-out prompts that were judged, one image of each;
    `preprocess` is how images came in without augmentation. `files` are those that the adapter
    loads the best checkpoint from, by role: their paths below the folder of all folds.
    """

    best_score: float
    best_epoch: int
    scores: tuple[float, ...]  # of every epoch
    steps: int
    trained: int  # prompts
    held_out: int  # prompts
    judged: int  # of these
    cut: int = 0  # prompts longer than a captioner has places for, which learned their beginnings
    processes: int
    files: dict[str, str]
    encoder: EncoderRecord
    preprocess: Preprocess


@runtime_checkable
class Trainable(Protocol):
    """An adapter that can be trained."""

    @classmethod
    def train(cls, job: FoldJob) -> Trained:
        """Train one checkpoint; killed at any moment, the same call goes on where it was.

        Leaves in the job's folder the best checkpoint and the last one, METRICS, and what it goes
        on from, named like STATES. A predictor of one file has them as BEST and LAST; one of
        several files in folders called like these, without suffix. In several processes each
        calls it, and the first one writes.

        Raises:
            InputError: data, recipe and machine do not go together, an image cannot be read, the
                loss is no number, or the disk is full.
            PredictorError: the config or the weights to begin with cannot be used.
        """
