"""Filtering by prompt: number of words, banned words, language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from ensembler.curation.filtering_rules import Reason, Rules
from ensembler.errors import InputError, unknown_name

# How many times likelier another language must be than the wanted ones together. Prompts are short
# and full of names: of 3,000 prompts of DiffusionDB, nearly all English, 283 look likelier to be in
# another language than in English, 22 by these odds, half of them rightly; of 26 short prompts in
# other languages these odds miss one.
ODDS: Final = 20.0
WORD: Final = re.compile(r"\w+")


def read_banned(path: Path) -> tuple[str, ...]:
    """Read a list of words and phrases, one per line; blank lines are skipped.

    Raises:
        InputError: it cannot be read as UTF-8, or a line has no letter or digit.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a list of words: {error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip() and not WORD.search(line):
            raise InputError(f"{path}: line {number}, {line!r}, has no letter or digit")
    words = tuple(line.strip() for line in lines if line.strip())
    if not words:
        raise InputError(f"{path} lists no words; write one per line")
    return words


def text_judge(rules: Rules) -> Callable[[str], Reason | None]:
    """Make a function that gives the reason to drop a prompt, or None.

    A banned phrase is found whatever the capitals and whatever stands between its words, but only
    as whole words: "bra" is not found in "zebra".

    Raises:
        InputError: the classifier of languages is not installed, or does not know one of them.
    """
    has_banned = _banned_words(rules.banned)
    is_foreign = _foreign(rules.languages) if rules.languages else None

    def judge(prompt: str) -> Reason | None:
        words = len(prompt.split())
        if rules.min_words is not None and words < rules.min_words:
            return Reason.SHORT
        if rules.max_words is not None and words > rules.max_words:
            return Reason.LONG
        if rules.banned and has_banned(prompt):
            return Reason.BANNED
        if is_foreign is not None and is_foreign(prompt):
            return Reason.LANGUAGE
        return None

    return judge


def _banned_words(banned: Iterable[str]) -> Callable[[str], bool]:
    listed = [WORD.findall(phrase.casefold()) for phrase in banned]
    words = {phrase[0] for phrase in listed if len(phrase) == 1}
    phrases = [f" {' '.join(phrase)} " for phrase in listed if len(phrase) > 1]

    def has_one(prompt: str) -> bool:
        found = WORD.findall(prompt.casefold())
        if not words.isdisjoint(found):
            return True
        spaced = f" {' '.join(found)} "
        return any(phrase in spaced for phrase in phrases)

    return has_one


def _foreign(languages: Iterable[str]) -> Callable[[str], bool]:
    identifier = _identifier()
    wanted = set(languages)
    for language in wanted:
        if language not in identifier.labels:
            known = unknown_name("language", language, identifier.labels)
            raise InputError(f"{known} (ISO 639 codes, as in en)")

    def is_foreign(prompt: str) -> bool:
        likely: list[tuple[str, float]] = identifier.rank(prompt)  # the likeliest first
        return likely[0][1] >= ODDS * sum(share for name, share in likely if name in wanted)

    return is_foreign


def _identifier() -> Any:  # noqa: ANN401 - a py3langid LanguageIdentifier
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise InputError(
            "recognising languages needs py3langid: pip install 'oof-ensembler[curation]'"
        ) from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
