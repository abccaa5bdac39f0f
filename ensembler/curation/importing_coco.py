"""COCO's captions: a JSON file of images and of annotations that each describe one of them.

{"images": [{"id": 9, "file_name": "000000000009.jpg", …}, …],
 "annotations": [{"image_id": 9, "caption": "…", …}, …], …}
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ensembler.curation.pairs import ROWS
from ensembler.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

_FORM: Final = 'captions are of the form {"images": [{"id", "file_name"}], "annotations":'
FORM: Final = f'{_FORM} [{{"image_id", "caption"}}]}}'


def read_coco(path: Path) -> Iterator[pa.Table]:
    """Read captions, a block at a time, in the order of the annotations.

    The file is parsed as it streams by, twice: for the images' names, which are kept, then for the
    annotations, which may stand before them.

    Args:
        path: the JSON file.

    Yields:
        Tables of image (its file's name) and prompt, both text.

    Raises:
        InputError: it is not JSON or has another form, or an annotation names an image that is not
            listed.
    """
    import pyarrow as pa

    names = {image: name for _, image, name in _entries(path, "images", "id", "file_name")}
    captions = _entries(path, "annotations", "image_id", "caption")
    while block := list(islice(captions, ROWS)):
        unknown = next((entry for entry in block if entry[1] not in names), None)
        if unknown is not None:
            place, image, _ = unknown
            raise InputError(
                f"{path}: {place} is of image_id {image!r}, which is not among its images; remove"
                " the annotation, or join the file that lists the image"
            )
        columns = {
            "image": [names[image] for _, image, _ in block],
            "prompt": [caption for _, _, caption in block],
        }
        yield pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))


def _entries(path: Path, listed: str, key: str, text: str) -> Iterator[tuple[str, int | str, str]]:
    """Place (for messages), key and text of each entry of one of the file's lists."""
    try:
        import ijson
    except ImportError as error:
        raise InputError(
            "reading COCO captions needs ijson: pip install 'oof-ensembler[curation]'"
        ) from error
    count = 0
    try:
        with path.open("rb") as file:
            for count, entry in enumerate(ijson.items(file, f"{listed}.item"), start=1):
                place = _place(listed, count, entry)
                yield (
                    place,
                    _pick(path, place, entry, key),
                    _pick(path, place, entry, text, kind=str),
                )
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except ijson.JSONError as error:
        where = f"after entry {count} of its {listed}" if count else "at its start"
        what = str(error).splitlines()[0]
        raise InputError(
            f"{path} is not a complete JSON file ({what}, {where}); fetch it again"
        ) from error
    if not count:
        raise InputError(f"{path} has no list {listed!r}, or an empty one; {FORM}")


def _place(listed: str, number: int, entry: object) -> str:
    """Describe an entry by its number and, where it has one, its id."""
    entry_id = entry.get("id") if isinstance(entry, dict) else None
    return f"entry {number} of its {listed}" + ("" if entry_id is None else f" (id {entry_id!r})")


def _pick(
    path: Path,
    place: str,
    entry: object,
    key: str,
    kind: Any = (int, str),  # noqa: ANN401 - as isinstance takes it
) -> Any:  # noqa: ANN401 - of that kind
    """The value of an entry under a key."""
    found = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(found, kind):
        raise InputError(f"{path}: {place} has no {key!r}; {FORM}")
    return found
