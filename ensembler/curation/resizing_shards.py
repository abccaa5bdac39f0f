"""Writing of one shard, at all sizes at once."""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from pydantic import ValidationError

from ensembler.curation.pairs_images import locate
from ensembler.errors import InputError
from ensembler.files import atomic_write, canonical_json
from ensembler.frozen import Frozen
from ensembler.images.decode import ImageError, check_pixels, decode
from ensembler.images.preprocess import Preprocess
from ensembler.images.resize import resized, scaled_size

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image


QUALITY: Final = 95  # of JPEG: a tower sees what is lost far below it
Fit = Literal["crop", "squash", "keep"]
FITS: Final[tuple[Fit, ...]] = get_args(Fit)


class Failure(Frozen):
    """A pair whose image could not be resized."""

    row: int  # of the table, from 0
    image: str
    reason: str


class Shard(Frozen):
    """Contents of the marker of a complete shard."""

    rows: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The form of the resized images.

    Attributes:
        sizes: in pixels, of both sides, or of the shorter where `fit` is "keep".
        fit: crop cuts the centre out; squash forgets the aspect; keep keeps the whole image.
        quality: of JPEG, 1 to 100.
    """

    sizes: tuple[int, ...]
    fit: Fit = "crop"
    quality: int = QUALITY


def read_shard(out: Path, number: int, rows: int, sizes: Iterable[int]) -> Shard | None:
    """Read the marker of a shard; None where the shard has to be made."""
    try:
        shard = Shard.model_validate_json(_marker(out, number).read_bytes())
    except (OSError, ValidationError):
        return None
    whole = all(_tar(out, size, number).is_file() for size in sizes)
    return shard if whole and shard.rows == rows else None


def write_shard(
    out: Path,
    number: int,
    pairs: pa.Table,
    first: int,
    *,
    images: Path,
    form: Form,
    pool: ThreadPoolExecutor,
    ahead: int,
) -> Shard:
    """Write a shard at every size; each file appears as a whole, the marker last.

    Args:
        out: the folder of the shards.
        number: of the shard.
        pairs: those of the shard.
        first: the row of the table that the first of them is.
        images: the folder of the images.
        form: what they are brought to.
        pool: of threads that decode, resize and encode.
        ahead: images that may be on their way at once.

    Raises:
        InputError: webdataset is not installed, or memory ended.
        OSError: the disk is full, or cannot be written.
    """
    failures = []
    with ExitStack() as stack:
        writers = [_tar_writer(stack, _tar(out, size, number)) for size in form.sizes]
        encoded = _encoded(pairs["image"].to_pylist(), images, form, pool, ahead)
        for row, (pair, found) in enumerate(zip(pairs.to_pylist(), encoded, strict=True), first):
            if isinstance(found, str):
                failures.append(Failure(row=row, image=pair["image"], reason=found))
                continue
            beside = {
                "__key__": f"{row:09}",
                "txt": pair["prompt"].encode(),
                "json": json.dumps(pair, sort_keys=True, ensure_ascii=False).encode(),
            }
            for writer, jpeg in zip(writers, found, strict=True):
                writer.write({**beside, "jpg": jpeg})
    shard = Shard(rows=len(pairs), failures=tuple(failures))
    with atomic_write(_marker(out, number)) as file:
        file.write(canonical_json(shard.model_dump(mode="json")))
    return shard


def check_webdataset() -> None:
    """Refuse to start without the library that writes shards.

    Raises:
        InputError: with the pip line that installs it.
    """
    try:
        import webdataset  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise InputError(
            "writing shards needs webdataset: pip install 'oof-ensembler[curation]'"
        ) from error


def _tar_writer(stack: ExitStack, file: Path) -> Any:  # noqa: ANN401 - a webdataset TarWriter
    """A writer of a shard whose bytes depend on its samples alone."""
    from webdataset.writer import TarWriter

    opened = stack.enter_context(atomic_write(file))
    return stack.enter_context(TarWriter(opened, user="", group="", mtime=0, encoder=False))


def _encoded(
    names: Sequence[str], images: Path, form: Form, pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[bytes, ...] | str]:
    """Encode each image at every size, or give the reason why not, in order.

    Neighbours of one name, as the captions of one image, share a decode.
    """
    pending: deque[Future[tuple[bytes, ...] | str]] = deque()
    before: str | None = None
    try:
        for name in names:
            shared = pending[-1] if pending and name == before else None
            pending.append(shared or pool.submit(_encode, images, name, form))
            before = name
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _encode(images: Path, name: str, form: Form) -> tuple[bytes, ...] | str:
    """A JPEG for each size, or the reason for none."""
    try:
        file = locate(images, name)
        image = decode(file)
        return tuple(_jpeg(file, image, size, form) for size in form.sizes)
    except ImageError as error:
        return error.reason


def _jpeg(file: Path, image: Image.Image, size: int, form: Form) -> bytes:
    from PIL import Image

    wanted = Preprocess(
        height=size, width=size, resize="squash" if form.fit == "squash" else "crop"
    )
    scaled = scaled_size(*image.size, wanted)
    check_pixels(file, *scaled)
    if form.fit == "keep":
        small = image.resize(scaled, Image.Resampling.BICUBIC)
    else:
        small = Image.fromarray(resized(image, wanted))
    memory = io.BytesIO()
    # Colour at full resolution: a third less error at 224 pixels, a quarter more bytes.
    small.save(memory, "JPEG", quality=form.quality, subsampling="4:4:4")
    return memory.getvalue()


def _tar(out: Path, size: int, number: int) -> Path:
    return out / str(size) / f"{number:05}.tar"


def _marker(out: Path, number: int) -> Path:
    return out / f"{number:05}.json"
