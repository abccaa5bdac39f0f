"""Rules for pairs, and the reasons for which a pair is dropped."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ensembler.errors import InputError


class Reason(StrEnum):
    """The reason for which a pair is dropped; the first one that applies counts."""

    SHORT = "too few words"
    LONG = "too many words"
    BANNED = "banned word"
    LANGUAGE = "another language"
    UNREADABLE = "unreadable image"  # missing, or none that can be decoded
    ASPECT = "elongated image"
    BLANK = "blank image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Rules for pairs; a rule that is left out is not checked.

    Attributes:
        min_words: of a prompt, as blanks separate them.
        max_words: as well.
        banned: words and phrases, in any capitals.
        languages: ISO 639 codes of what prompts may be written in.
        max_aspect: longer side of an image to its shorter.
        blank: whether images of one colour are dropped.
    """

    min_words: int | None = None
    max_words: int | None = None
    banned: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    max_aspect: float | None = None
    blank: bool = False

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons for which these rules can drop a pair."""
        asked = {
            Reason.SHORT: self.min_words is not None,
            Reason.LONG: self.max_words is not None,
            Reason.BANNED: bool(self.banned),
            Reason.LANGUAGE: bool(self.languages),
            Reason.ASPECT: self.max_aspect is not None,
            Reason.BLANK: self.blank,
        }
        return tuple(reason for reason, holds in asked.items() if holds)

    def check(self) -> None:
        """Refuse rules that no pair can pass.

        Raises:
            InputError: with the two that exclude each other, or the one that is out of range.
        """
        fewest, most = self.min_words, self.max_words
        if fewest is not None and most is not None and fewest > most:
            raise InputError(f"no prompt has at least {fewest} words and at most {most}")
        if self.max_aspect is not None and not self.max_aspect >= 1.0:
            raise InputError(
                f"max_aspect = {self.max_aspect} is below 1, which a square has; give 1 or more"
            )
