"""Finding the images of a folder, and the image of each id.

An image's id is its file name without the suffix, as in the competition (`92e911621.png`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError, first_few

# Upper case counts too (.PNG). A file with another suffix is skipped; one with these is taken for
# an image, even if it cannot be decoded later.
SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """Images by id.

    Attributes:
        ids: (n,) text, unique, sorted.
        paths: the file of each id.
    """

    ids: NDArray[np.str_]
    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)


def find_images(folder: str | Path) -> ImageFiles:
    """Find the images in a folder; subfolders and hidden files are skipped.

    Args:
        folder: where to look; only names are read.

    Raises:
        InputError: there is no such folder, it holds no image, two images with one id (`a.png`,
            `a.jpg`), or a name that is not UTF-8.
    """
    place = Path(folder)
    by_id: defaultdict[str, list[Path]] = defaultdict(list)
    try:
        for path in sorted(place.iterdir()):
            suited = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
            if suited and path.is_file():
                by_id[path.stem].append(path)
    except NotADirectoryError as error:
        raise InputError(f"{place} is a file; name the folder of the images") from error
    except OSError as error:
        raise InputError(
            f"the images' folder {place} cannot be read: {error.strerror or error}"
        ) from error
    if not by_id:
        raise InputError(
            f"{place} holds no image ({', '.join(sorted(SUFFIXES))}); subfolders are not searched"
        )
    _check_names(place, by_id)
    ids = sorted(by_id)
    return ImageFiles(ids=np.array(ids, np.str_), paths=tuple(by_id[id_][0] for id_ in ids))


def match_images(ids: Iterable[str], files: ImageFiles) -> tuple[Path, ...]:
    """Find the image of each id of a table; images without an id there are left out.

    Args:
        ids: text, in the table's order; whole file names count too, as in tables of pairs.
        files: the images to choose from.

    Returns:
        A path for each id, in the same order.

    Raises:
        InputError: some ids have no image; the message counts them and shows the first few.
    """
    wanted = [str(id_) for id_ in ids]
    by_id = {path.name: path for path in files.paths}
    by_id |= dict(zip(files.ids.tolist(), files.paths, strict=True))
    missing = [id_ for id_ in wanted if id_ not in by_id]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(wanted)} ids have no image in {files.paths[0].parent}:"
            f" {first_few(missing)}; an image's name is its id and a suffix, as in"
            f" {missing[0]}.png"
        )
    return tuple(by_id[id_] for id_ in wanted)


def _check_names(folder: Path, by_id: dict[str, list[Path]]) -> None:
    twins = [", ".join(path.name for path in paths) for paths in by_id.values() if len(paths) > 1]
    if twins:
        ids = "1 id has" if len(twins) == 1 else f"{len(twins)} ids have"
        raise InputError(
            f"{folder}: {ids} more than one image ({first_few(twins)}); an id is the name without"
            " its suffix: keep one file for each"
        )
    broken = [repr(id_) for id_ in by_id if any("\ud800" <= letter <= "\udfff" for letter in id_)]
    if broken:  # surrogate escapes, which a table cannot hold
        raise InputError(f"{folder}: names that are not UTF-8: {first_few(broken)}; rename them")
