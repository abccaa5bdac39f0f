"""`predict`: images or embeddings become a submission."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ensembler.errors import InputError, SpecError, first_few
from ensembler.inference.prediction import Prediction
from ensembler.spec.loading import load_spec
from ensembler.spec.model import EnsembleSpec
from ensembler.store.manifest import MANIFEST
from ensembler.store.reader import Store

if TYPE_CHECKING:
    from ensembler.search.definition import StudyDefinition
    from ensembler.search.searching import Progress

__all__ = ["Prediction", "predict"]


def predict(
    spec: str | Path | EnsembleSpec,
    source: str | Path | Store,
    *,
    out: str | Path | None = None,
    sample_submission: str | Path | None = None,
    strict: bool = False,
    checkpoints: Sequence[str | Path] = (),
    devices: Sequence[str] = ("auto",),
    batch: int | None = None,
    precision: str | None = None,
    workers: int | None = None,
    deadline: str | float | None = None,
    work: str | Path | None = None,
    image_cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Prediction:
    """Blend a store of test embeddings, or a folder of images, as a frozen spec says.

    Args:
        spec: a spec or its file; or the file of a study that leaves nothing open, say of weights by
            public scores, ending in .toml: it blends a store of embeddings without a fit.
        source: an opened store or its folder, or a folder of images; the arguments after `strict`
            are for images alone.
        out: the submission to write; None leaves it to the result's `to_submission`.
        sample_submission: whose order `out` keeps; None sorts the ids.
        strict: refuse to blend without one of the spec's members.
        checkpoints: folders to look for checkpoints in; `ensembler.inference.settings.Settings`
            says more of this, of the next four, and of `work` and `image_cache`.
        devices: names as torch has them.
        batch: images at once.
        precision: float32, float16 or bfloat16.
        workers: threads that decode.
        deadline: seconds, or a text such as "8h30m", within which all is written; members that do
            not fit are dropped.
        work: the folder that vectors are kept in.
        image_cache: a folder for resized images.
        progress: called with (member, images done, images in all).

    Returns:
        Ids and unit-length embeddings; of images an `ImagePrediction`, which also tells how each
        member fared.

    Raises:
        StudyError: the study is broken, or leaves something to be chosen by targets.
        SpecError: the spec was changed, or does not fit the store; in a strict run, the store lacks
            a member.
        StoreError: the store is broken.
        PredictorError: a member cannot be made from images here; in a strict run, one is dropped.
        InputError: the source is neither store nor images, or an argument cannot be used.
    """
    from ensembler.inference.deadline import Deadline, seconds_of
    from ensembler.inference.settings import Settings

    until = Deadline.after(None if deadline is None else seconds_of(deadline))
    frozen = spec if isinstance(spec, EnsembleSpec) else _load(spec)
    settings = Settings(
        checkpoints=tuple(checkpoints),
        devices=tuple(devices),
        batch=batch,
        precision=precision,
        workers=workers,
        work=work,
        image_cache=image_cache,
    )
    if isinstance(source, Store) or (Path(source) / MANIFEST).is_file():
        if deadline is not None or settings != Settings():
            raise InputError(
                f"{source} is a store of embeddings; checkpoints, devices, deadline and the like"
                " are for a folder of images"
            )
        store = source if isinstance(source, Store) else Store.open(source)
        prediction = _predict_store(frozen, store, strict=strict)
        if out is not None:
            prediction.to_submission(out, sample_submission)
        return prediction
    if not isinstance(frozen, EnsembleSpec):
        raise InputError(
            f"{source} is not a store, and a study says nothing of how to embed images; add members"
            " to a store of them, or fit a spec"
        )
    from ensembler.inference.images import predict_images

    return predict_images(
        frozen,
        source,
        settings,
        out=out,
        sample=sample_submission,
        strict=strict,
        deadline=until,
        progress=progress,
    )


def _load(path: str | Path) -> EnsembleSpec | StudyDefinition:
    if Path(path).suffix != ".toml":
        return load_spec(path)
    from ensembler.search.definition import load_study

    return load_study(path)


def _predict_store(
    blend: EnsembleSpec | StudyDefinition, store: Store, *, strict: bool
) -> Prediction:
    if not isinstance(blend, EnsembleSpec):
        from ensembler.fitting.replaying import fixed_blend
        from ensembler.inference.given import predict_given

        return predict_given(fixed_blend(blend, store), store)
    from ensembler.inference.blend import predict_store

    prediction = predict_store(blend, store)
    if strict and prediction.missing_members:
        raise SpecError(
            f"{store.path} lacks {first_few(prediction.missing_members)}; add them, or go without"
            " them by leaving out --strict"
        )
    return prediction
