"""A benchmark's result: the seconds of each contestant, and their ratio to the first's."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ensembler.report.tables import as_text, new_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One contestant.

    Attributes:
        name: the contestant's name.
        seconds: how long it took; None where it did not run.
        fact: a further number, in the unit of the table's `fact`; None where there is none.
        interval: an interval of the quantity that the table's `interval` names; None without one.
        absent: why it did not run.
    """

    name: str
    seconds: float | None = None
    fact: float | None = None
    interval: tuple[float, float] | None = None
    absent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All contestants of one benchmark, from one run.

    Attributes:
        title: heading of the first column.
        lines: the contestants; ratios are over the first one's seconds.
        fact: heading of the lines' facts, "" where they have none.
        interval: heading of the lines' intervals, "" where they have none.
        decimals: number of decimals of facts and intervals.
    """

    title: str
    lines: tuple[Line, ...]
    fact: str = ""
    interval: str = ""
    decimals: int = 0

    def ratio(self, line: Line) -> float | None:
        """A line's seconds over the first line's; None where either did not run."""
        first = self.lines[0].seconds
        return line.seconds / first if line.seconds is not None and first else None

    def as_json(self) -> dict[str, object]:
        """The result as plain data, numbers unrounded."""
        lines = [{**asdict(line), "ratio": self.ratio(line)} for line in self.lines]
        headings = {"title": self.title, "fact": self.fact, "interval": self.interval}
        return {**headings, "lines": lines}

    def __str__(self) -> str:
        headings = filter(None, [self.fact, self.interval])
        table = new_table(self.title, "seconds", "ratio", *headings)
        for line in self.lines:
            ratio = self.ratio(line)
            cells = [
                line.absent if line.seconds is None else f"{line.seconds:.3f}",
                "" if ratio is None else f"{ratio:.2f}",
            ]
            if self.fact:
                cells.append("" if line.fact is None else f"{line.fact:,.{self.decimals}f}")
            if self.interval and line.interval is not None:
                cells.append(" … ".join(f"{end:+.{self.decimals}f}" for end in line.interval))
            table.add_row(line.name, *cells)
        return as_text(table)
