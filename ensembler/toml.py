"""Plain data as TOML, which the standard library reads and does not write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")  # keys that TOML takes without quotes


def toml_key(name: str) -> str:
    """A key, in quotes where TOML wants them."""
    return name if _BARE.fullmatch(name) else toml_value(name)


def toml_value(value: Any) -> str:  # noqa: ANN401 - plain data
    """A value in one line; what is None in a table is left out, since TOML has no word for it.

    Of texts, numbers and truth values JSON's spelling is TOML's too, but for the character DEL.
    """
    if isinstance(value, Mapping):
        given = ((key, one) for key, one in value.items() if one is not None)
        return f"{{{', '.join(f'{toml_key(key)} = {toml_value(one)}' for key, one in given)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
