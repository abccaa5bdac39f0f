"""A process that embeds images on one device: tasks in on stdin, messages out on stdout.

A process of its own for each device, so that a model that dies takes nothing with it but itself,
and so that time that is up ends it wherever it is. What is expected to go wrong is told in a
message; anything else ends the process with its traceback on stderr, and the run drops the member.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import EnsemblerError, PredictorError
from ensembler.images.cache import ImageCache
from ensembler.images.preprocess import Preprocess
from ensembler.images.stream import stream_images
from ensembler.inference.deadline import Clock
from ensembler.inference.messages import (
    TASKS,
    Done,
    Embed,
    Finished,
    Load,
    Loaded,
    Message,
    Probe,
    Probed,
    Refused,
    Setup,
    Stopped,
    Task,
)
from ensembler.inference.probe import CPU, probe_batch
from ensembler.predicting.batches import BatchLimit, Embedded, embed_batch, empty_cache
from ensembler.predicting.checkpoints import load_predictor
from ensembler.predicting.contract import EncodingCaptioner, Predictor
from ensembler.store.model import EncoderRecord
from ensembler.work.disk import WorkError
from ensembler.work.entry import BARREN, Entry
from ensembler.work.notes import Note


class Worker:
    """The work of a worker process, without the process.

    Args:
        setup: device, precision and images.
        send: takes each message.
        clock: what the probe measures with.
    """

    def __init__(
        self, setup: Setup, send: Callable[[Message], None], clock: Clock = time.perf_counter
    ) -> None:
        self._setup, self._send, self._clock = setup, send, clock
        self._paths = [Path(path) for path in setup.images]
        self._predictor: Predictor | None = None

    def take(self, task: Task) -> None:
        """Do a task and say how it went.

        Whatever a model raises that is not ours passes through.
        """
        try:
            match task:
                case Load():
                    self._load(task)
                    self._send(Loaded())
                case Probe():
                    self._send(Probed(batch=self._probe()))
                case Embed():
                    self._embed(task)
                    self._send(Finished())
        except WorkError as error:
            self._send(Stopped(reason=str(error)))
        except EnsemblerError as error:
            self._send(Refused(reason=str(error)))

    def _load(self, task: Load) -> None:
        self._unload()
        files = {role: Path(path) for role, path in task.files.items()}
        predictor = load_predictor(task.predictor, task.config, files, self._setup.device)
        recorded = Preprocess.model_validate(task.preprocessing, strict=False)
        if predictor.preprocess != recorded:
            raise PredictorError(
                f"{task.predictor} prepares images as {predictor.preprocess!r} now, and the"
                f" out-of-fold embeddings were made with {recorded!r}; install the release that"
                " they were made with"
            )
        if isinstance(predictor, EncodingCaptioner):
            _check_encoder(task, predictor.encoder_record)
        if predictor.dim != task.dim:
            raise PredictorError(
                f"{task.predictor} gives {predictor.dim} numbers per image, and the spec blends"
                f" {task.dim}"
            )
        self._predictor = predictor

    def _unload(self) -> None:
        """Free the device before the next model comes."""
        self._predictor = None
        gc.collect()
        empty_cache()

    def _probe(self) -> int:
        if self._setup.device.startswith("cpu"):
            return CPU
        preprocess = self._loaded().preprocess
        shape = (preprocess.height, preprocess.width)
        return probe_batch(partial(self._vectors_of), shape, self._clock)

    def _embed(self, task: Embed) -> None:
        predictor = self._loaded()
        entry = Entry(folder=Path(task.folder), images=len(self._paths), dim=predictor.dim)
        positions = np.array(task.positions, dtype=np.int64)
        limit = BatchLimit(task.limit)
        cache = None if task.cache is None else ImageCache(task.cache)
        stream = stream_images(
            [self._paths[position] for position in task.positions],
            predictor.preprocess,
            batch=task.batch,
            workers=self._setup.threads,
            cache=cache,
        )
        with closing(stream):
            for batch in stream:
                unreadable = {int(positions[at]): reason for at, reason in batch.failures}
                there, vectors = positions[batch.positions], np.empty((0, predictor.dim), "f4")
                finite = np.ones(len(there), dtype=np.bool_)
                if len(there):
                    vectors, _, finite = self._vectors_of(batch.images, limit)
                entry.write(
                    there[finite],
                    vectors[finite],
                    not_finite=there[~finite].tolist(),
                    note=Note(unreadable=unreadable),
                )
                self._send(
                    Done(
                        images=len(there) + len(unreadable),
                        limit=limit.images,
                        cache_fault=None if cache is None else cache.fault,
                    )
                )
                if not finite.all() and entry.is_barren():
                    raise PredictorError(
                        f"{type(predictor).__name__} gives NaN or infinity for every one of at"
                        f" least {BARREN} images: its weights are broken, or the precision is too"
                        " low for it"
                    )

    def _vectors_of(self, images: NDArray[np.uint8], limit: BatchLimit) -> Embedded:
        setup = self._setup
        return embed_batch(self._loaded(), images, setup.precision, setup.device, limit)

    def _loaded(self) -> Predictor:
        if self._predictor is None:
            raise PredictorError("no checkpoint is loaded")
        return self._predictor


def _check_encoder(task: Load, found: EncoderRecord) -> None:
    """Refuse another sentence encoder than the out-of-fold texts went through."""
    recorded = task.encoder
    if recorded is not None and recorded.sha256 != found.sha256:  # a folder may have moved
        raise PredictorError(
            f"{task.predictor} encodes texts with {found.name} (sha256 {found.sha256}), and the"
            f" out-of-fold embeddings were made with {recorded.name} (sha256 {recorded.sha256});"
            " give the encoder that they were made with, or install the release that brings it"
        )


def main() -> None:
    """Serve tasks until stdin ends or nobody reads the messages any more."""
    # Libraries print where they like; stdout is for messages alone.
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    tasks = (TASKS.validate_json(line) for line in sys.stdin.buffer)
    setup = next(tasks)
    if not isinstance(setup, Setup):
        raise TypeError(f"the first line must be the setup, not {setup.kind}")
    worker = Worker(setup, lambda message: _say(messages.write, message))
    for task in tasks:
        worker.take(task)


def _say(write: Callable[[bytes], object], message: Message) -> None:
    write(message.model_dump_json().encode() + b"\n")


if __name__ == "__main__":
    main()
