"""What a message may show of the place where a study is recorded."""

from __future__ import annotations

import re


def without_password(place: str) -> str:
    """A storage's URL with *** for its password; a path, or any other text, as it is."""
    if "://" not in place:
        return place
    place = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", place)
    return re.sub(r"([?&]\w*password=)[^&]*", r"\1***", place)
