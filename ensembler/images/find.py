"""The images of a folder, and which of them belongs to which id.

An image's id is its file's name without the suffix, as in the competition (`92e911621.png`).
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

# In any case (.PNG). A file with another suffix is passed over, one with these is an image, even
# when it turns out to be none.
SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """Images by id.

    Attributes:
        ids: (n,) text, unique, sorted.
        paths: the file of each.
    """

    ids: NDArray[np.str_]
    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)


def find_images(folder: str | Path) -> ImageFiles:
    """The images that lie in a folder; not those in folders inside it, nor hidden files.

    Args:
        folder: to look in; only names are read.

    Raises:
        InputError: there is no such folder, no image in it, two with one id (`a.png`, `a.jpg`), or
            a name that is no UTF-8.
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
            f"{place} holds no image ({', '.join(sorted(SUFFIXES))}); folders inside it are not"
            " looked into"
        )
    _check_names(place, by_id)
    ids = sorted(by_id)
    return ImageFiles(ids=np.array(ids, np.str_), paths=tuple(by_id[one][0] for one in ids))


def match_images(ids: Iterable[str], files: ImageFiles) -> tuple[Path, ...]:
    """The image of each id of another table; images that it does not ask for are left out.

    Args:
        ids: text, in the table's order; a file's whole name will do, as in tables of pairs.
        files: the images there are.

    Returns:
        A path for each id, in the same order.

    Raises:
        InputError: ids have no image; the message counts them and shows the first few.
    """
    wanted = [str(one) for one in ids]
    by_id = {path.name: path for path in files.paths}
    by_id |= dict(zip(files.ids.tolist(), files.paths, strict=True))
    missing = [one for one in wanted if one not in by_id]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(wanted)} ids have no image in {files.paths[0].parent}:"
            f" {first_few(missing)}; an image is named as its id and a suffix, as in"
            f" {missing[0]}.png"
        )
    return tuple(by_id[one] for one in wanted)


def _check_names(folder: Path, by_id: dict[str, list[Path]]) -> None:
    twins = [", ".join(path.name for path in paths) for paths in by_id.values() if len(paths) > 1]
    if twins:
        ids = "1 id has" if len(twins) == 1 else f"{len(twins)} ids have"
        raise InputError(
            f"{folder}: {ids} more than one image ({first_few(twins)}); an id is the name without"
            " its suffix: keep one file of each"
        )
    broken = [repr(one) for one in by_id if any("\ud800" <= letter <= "\udfff" for letter in one)]
    if broken:  # Python's stand-ins for bytes; no table could hold them
        raise InputError(f"{folder}: names that are no UTF-8: {first_few(broken)}; rename them")
