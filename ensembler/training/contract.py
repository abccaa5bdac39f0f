"""The contract between `ensembler train` and the predictors that it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from ensembler.frozen import Frozen
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.contract import Adapter
from ensembler.store.model import EncoderRecord
from ensembler.training.data import TrainingData
from ensembler.training.recipe import Recipe

BEST: Final = "best.safetensors"  # of the epoch with the best held-out score
LAST: Final = "last.safetensors"  # of the last whole epoch
METRICS: Final = "metrics.jsonl"  # a line for every step and every epoch
STATES: Final = "state*"  # states to resume from; removed once the fold is finished
RECORD: Final = "record.json"  # of a fold that is finished

Progress = Callable[[str, int, int], None]  # called with (stage, done, total)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldJob:
    """A checkpoint to train: all that decides its weights, and where they are written.

    Attributes:
        recipe: the recipe.
        config: config of the predictor, an instance of its adapter's Config.
        data: all prompts, including those of the fold.
        fold: the fold to hold out.
        images: the folder that the images' paths are relative to.
        weights: files to begin with: role of the adapter → file or folder. Modules without one
            begin with new weights.
        encoder: a sentence-transformers folder; None takes the installed encoder.
        out: the folder of the fold's files; the first process has made it.
        shared: the folder of files that all folds share; it exists.
        digests: sha256 of the recipe, of the data, and, by role, of each file to begin with.
        device: "auto" or "cpu".
        processes: number of processes that must be running; None accepts any.
        workers: decoding threads in each process.
        save_steps: steps between saved states, besides one at the end of every epoch.
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
    """The result of training a fold.

    `best_score` is the mean cosine over the held-out prompts that were validated, one image of
    each; `preprocess` is the preprocessing without augmentation. `files` are those that the adapter
    loads the best checkpoint from, by role: their paths below the folder of all folds.
    """

    best_score: float
    best_epoch: int
    scores: tuple[float, ...]  # of every epoch
    steps: int
    trained: int  # prompts
    held_out: int  # prompts
    judged: int  # of these
    cut: int = 0  # prompts longer than a captioner's places, cut at their end
    processes: int
    files: dict[str, str]
    encoder: EncoderRecord
    preprocess: Preprocess


@runtime_checkable
class Trainable(Protocol):
    """An adapter that can be trained."""

    @classmethod
    def train(cls, job: FoldJob) -> Trained:
        """Train one checkpoint; after a kill at any moment, the same call resumes.

        Leaves in the job's folder the best checkpoint and the last one, METRICS, and states to
        resume from, named like STATES. Checkpoints of one file are called BEST and LAST; those of
        several files are folders of these names without the suffix. Every process calls it, and
        the first one writes.

        Raises:
            InputError: data, recipe and machine do not fit together, an image cannot be read, the
                loss is not finite, or the disk is full.
            PredictorError: the config or the weights to begin with cannot be used.
        """


class TrainableAdapter(Adapter, Trainable, Protocol):
    """An adapter of `ensembler.predictors` that can be trained."""
