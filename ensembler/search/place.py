"""What a message may show of the place where a study is recorded."""

from __future__ import annotations

import re

from ensembler.errors import StudyError

_PASSWORD = re.compile(r"(://[^:/]*):.*@")  # a user may have an @ too
_IN_QUERY = re.compile(r"([?&]\w*(?:password|passwd|pwd)=)[^&]*", re.IGNORECASE)
_SPLIT = re.compile(r"://[^:/]*:.*@.*@")


def without_password(place: str) -> str:
    """A storage's URL with *** for its password; a path, or any other text, as it is."""
    if "://" not in place:
        return place
    return _IN_QUERY.sub(r"\1***", _PASSWORD.sub(r"\1:***@", place))


def check_password(url: str) -> None:
    """Refuse a URL that would be split within its password.

    The driver would take the rest for the server's name, and print it.

    Raises:
        StudyError: an @ follows the password's first.
    """
    if _SPLIT.search(url):
        raise StudyError(
            f"the storage {without_password(url)!r} has more than one @ after its user's name;"
            " percent-encode all but the one before the server's name, as %40"
        )


def driver_reason(error: BaseException, url: str) -> str:
    """The first line of what a database's driver says, without the password."""
    cause = error.__cause__ or error
    return str(cause).partition("\n")[0].replace(url, without_password(url))
