"""A member that has seen the answers."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import first_few
from ensembler.store.audit.finding import SAME, Finding, Kind
from ensembler.store.audit.survey import Survey
from ensembler.store.reader import Member, Samples

# Ten captioners that never saw the prompts repeat one word for word in 2 of 9,154 rows, none of
# them in more than 0.11 % of its own, and none comes above .96 in cosine.
LEAK_SHARE: Final = 0.02  # of a member's usable rows; a fit warns by the same measure
QUOTED_SHARE: Final = 0.005  # of them, that quote their prompt: five times what honest ones do
QUOTED_ROWS: Final = 3  # and no fewer, however small the store
TELLING_WORDS: Final = 3  # a prompt of fewer words ("psychedelic duck") is what anyone would write

_WORD = re.compile(r"\w+")


def find_leak(seen: Survey, samples: Samples) -> Finding | None:
    """Find rows that are their target, or whose caption contains their prompt.

    Args:
        seen: a member of a store with targets.
        samples: the store's rows.

    Returns:
        The finding, or None when less than `LEAK_SHARE` of the usable rows are of either kind and
        less than `QUOTED_SHARE` of the second.
    """
    equal = np.zeros(len(seen.usable), dtype=np.bool_)
    if seen.cosine is not None:
        equal = seen.cosine > SAME
    quoted = seen.usable & _quotes_prompt(seen.member, samples)
    known, usable = equal | quoted, int(seen.usable.sum())
    rows, quotes = int(known.sum()), int(quoted.sum())
    surely = quotes >= max(QUOTED_ROWS, QUOTED_SHARE * usable)
    if rows == 0 or (rows < LEAK_SHARE * usable and not surely):
        return None
    ids = first_few(samples.id[seen.member.rows[known]], 3)
    return Finding(
        kind=Kind.LEAK,
        member=seen.member.name,
        rows=rows,
        message=f"{rows} of {usable} rows know the answer ({int(equal.sum())} have a cosine above"
        f" {SAME} with their target, {quotes} have a caption that contains the prompt; ids {ids});"
        " predict them without the prompts and add the member again, or remove it",
    )


def _quotes_prompt(member: Member, samples: Samples) -> NDArray[np.bool_]:
    """Which of a member's rows, (rows,) bool, have a caption with all words of the prompt in a row.

    Case and punctuation do not count; prompts of one or two words never do.
    """
    quoted = np.zeros(len(member.rows), dtype=np.bool_)
    table = member.captions()
    if table is None or samples.prompt is None:
        return quoted
    captions = dict(zip(table["id"].to_pylist(), table["caption"].to_pylist(), strict=True))
    for place, row in enumerate(member.rows):
        prompt = _words(samples.prompt[row])
        if prompt.count(" ") > TELLING_WORDS:  # n words stand between n + 1 blanks
            quoted[place] = prompt in _words(captions.get(samples.id[row]))
    return quoted


def _words(text: str | None) -> str:
    """The words of a text in lower case, each between blanks, so that no word matches in part."""
    return f" {' '.join(_WORD.findall((text or '').casefold()))} "
