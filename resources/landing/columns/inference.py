"""What each column of a file is, decided from all its cells and recorded with confidence.

Belongs here: deciding, and saying why nothing was decided. Does not belong here: the candidates (`candidates.py`),
trying them on the cells (`evidence.py`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from resources.landing.columns.candidates import Candidate, candidates
from resources.landing.columns.evidence import (
    Finding,
    count_present,
    counterexamples,
    differ,
    first_present,
    longest,
    missing_words,
    refuted,
    sample,
    verify,
)
from resources.landing.columns.kinds import Convention, Kind
from resources.landing.text_table import TextTable

ROUNDS = 3
"""How often cells that fit no candidate may bring up new ones."""
LARGE = 20_000
"""Rows from which on it takes longer to try a candidate in vain on all cells than to look at a sample first."""
EXACT_CHARACTERS = 15
"""An integer of so many characters is below 2^53, however it is written."""
MOST_TELLING = ((Kind.BOOLEAN,), (Kind.TIMESTAMP,), (Kind.INTEGER, Kind.NUMBER))
ENOUGH = 0.95
"""Share of cells that must convert for words such as `NA` among them to be read as missing."""
WORTH_SAYING = 0.5
"""Share of cells that must convert for a column that stays text to be proposed as something else."""
UNDECIDED = 0.5
HINTED = 0.9
"""Confidence in counts since 1970, which rests on the column's name as well."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The best way to read a column as one of `kinds`, for who knows that it is one, even if not every cell fits."""

    kinds: tuple[Kind, ...]
    convention: Convention
    doubt: str | None
    """Why it is no better than another one that makes something else of the same cells, and what to declare."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What a column is. `values` and `missing` add up to the rows; every value converts unless it is counted in
    `failing`, which is 0 for any kind but text."""

    column: str
    """c0, c1, ..."""
    kind: Kind
    convention: Convention
    """Of the kind; for text, of the kind that is `proposed`, so that a declaration of the kind alone is enough."""
    confidence: float
    """0 to 1: the share of cells that convert, less where something could not be decided; 0 for an empty column."""
    values: int
    missing: int
    """NULL, empty, and the convention's `missing_words` (and `nan` among numbers)."""
    failing: int
    """Cells of a text column that keep it from being what `ambiguous` proposes."""
    ambiguous: str | None
    """For a column that stays text: what it may be, and what to declare or repair; None: it is plainly text."""
    proposed: Kind | None = None
    """The kind that `ambiguous` is about."""
    readings: tuple[Reading, ...] = ()
    is_long: bool = False
    """Whether an integer may be beyond 2^53, so that a float would round it: it has more than 15 characters."""

    def reading(self, kind: Kind) -> Reading | None:
        """The best way to read the column as `kind`; None if hardly a cell looks like it, or if it is text."""
        return next((one for one in self.readings if kind in one.kinds), None)


def infer(table: TextTable, declared: Mapping[str, Convention] | None = None) -> list[Guess]:
    """One guess per column, in order; a column is text unless every one of its cells converts without loss.

    `declared`, by column (`c0`), fixes what a declaration says: `decimal`, `thousands`, `date_order`, `epoch_unit`,
    `timezone` and `missing_words`, where given; all else is found.
    """
    columns = table.columns
    headers = dict(zip(columns, table.header or [], strict=False))
    fixed = {column: (declared or {}).get(column, Convention()) for column in columns}
    rows = table.count()
    present = count_present(table)
    findings: dict[str, list[Finding]] = {column: [] for column in columns}
    cells = sample(table, rows)
    for column in columns:
        if present[column] and not cells[column]:
            cells[column] = first_present(table, column)
    for _ in range(ROUNDS):
        wanted = {}
        for column in columns:
            tried = {finding.candidate for finding in findings[column]}
            found = candidates(cells[column], headers.get(column), fixed[column])
            wanted[column] = [candidate for candidate in found if candidate not in tried]
        if not any(wanted.values()):
            break
        hopeless = refuted(table, wanted, rows) if rows >= LARGE else set()
        for is_late in (False, True):
            tried_now = {
                column: [
                    candidate
                    for candidate in some
                    if ((column, candidate) in hopeless) is is_late
                    and not (is_late and _is_outdone(candidate, findings[column], present[column]))
                ]
                for column, some in wanted.items()
            }
            for column, verified in verify(table, tried_now, present).items():
                findings[column] += verified
        for column in columns:
            if (best := _best(findings[column])) and not _fits(best, present[column]):
                cells[column] += counterexamples(table, best)
    guesses = [_decide(table, column, findings[column], present[column], rows) for column in columns]
    integers = [guess.column for guess in guesses if guess.kind is Kind.INTEGER]
    long = {column for column, size in longest(table, integers).items() if size > EXACT_CHARACTERS}
    return [replace(guess, is_long=guess.column in long) for guess in guesses]


def _decide(table: TextTable, column: str, findings: list[Finding], values: int, rows: int) -> Guess:
    text = Guess(
        column=column,
        kind=Kind.TEXT,
        convention=Convention(),
        confidence=1.0 if values else 0.0,
        values=values,
        missing=rows - values,
        failing=0,
        ambiguous=None,
        readings=tuple(_readings(table, findings)),
    )
    fitting = [finding for finding in findings if _fits(finding, values)]
    telling = next((kinds for kinds in MOST_TELLING if any(finding.candidate.kind in kinds for finding in fitting)), ())
    group = [finding for finding in fitting if finding.candidate.kind in telling]
    if group and (undecided := _undecided(group)):
        return replace(text, confidence=UNDECIDED, ambiguous=undecided, proposed=group[0].candidate.kind)
    if group:
        return _typed(table, text, group[0])
    best = _best(findings)
    if best is None or best.converting < WORTH_SAYING * values:
        return text
    failing = values - best.converting - best.blank
    return replace(
        text,
        convention=_convention(best),
        confidence=1 - best.converting / values / 2,
        failing=failing,
        ambiguous=_proposal(best, values, failing),
        proposed=best.candidate.kind,
    )


def _readings(table: TextTable, findings: list[Finding]) -> Iterator[Reading]:
    for kinds in MOST_TELLING:
        family = [finding for finding in findings if finding.candidate.kind in kinds and finding.converting]
        if family:
            most = max(finding.converting for finding in family)
            best, *others = [finding for finding in family if finding.converting == most]
            rivals = [other for other in others if differ(table, best, other)]
            doubt = _undecided([best, *rivals]) if rivals else None
            yield Reading(kinds=kinds, convention=_with_words(table, best), doubt=doubt)


def _typed(table: TextTable, text: Guess, finding: Finding) -> Guess:
    convention = _with_words(table, finding)
    share = finding.converting / (finding.converting + finding.words)
    return replace(
        text,
        kind=finding.candidate.kind,
        convention=convention,
        confidence=share * (HINTED if convention.epoch_unit else 1.0),
        values=finding.converting,
        missing=text.missing + text.values - finding.converting,
    )


def _with_words(table: TextTable, finding: Finding) -> Convention:
    """The finding's convention with the words that stand for a missing value, where they are few enough."""
    convention = _convention(finding)
    if not finding.words or not _has_few_words(finding):
        return convention
    found = [word for word in missing_words(table, finding.column) if word.lower() != "nan"]
    return replace(convention, missing_words=tuple(dict.fromkeys((*convention.missing_words, *found))))


def _convention(finding: Finding) -> Convention:
    convention = finding.candidate.convention
    if finding.candidate.kind is not Kind.TIMESTAMP or convention.epoch_unit:
        return convention
    return replace(convention, has_time=finding.timed > 0, zoned=finding.zoned == finding.converting)


def _fits(finding: Finding, values: int) -> bool:
    complete = finding.converting + finding.words + finding.blank == values and finding.converting > 0
    return complete and finding.has_evidence and _has_few_words(finding)


def _is_outdone(candidate: Candidate, findings: list[Finding], values: int) -> bool:
    """Whether another way to read the same kind of values explains every cell, which this one does not."""
    family = next((kinds for kinds in MOST_TELLING if candidate.kind in kinds), (candidate.kind,))
    return any(_fits(finding, values) for finding in findings if finding.candidate.kind in family)


def _has_few_words(finding: Finding) -> bool:
    return finding.converting >= ENOUGH * (finding.converting + finding.words)


def _best(findings: list[Finding]) -> Finding | None:
    return max(findings, key=lambda finding: finding.converting + finding.words + finding.blank, default=None)


def _undecided(group: list[Finding]) -> str | None:
    """Why several ways to read the same cells, or one way to read different ones, cannot be told apart."""
    conventions = [finding.candidate.convention for finding in group]
    orders = [convention.date_order for convention in conventions if convention.date_order]
    if group[0].candidate.kind is Kind.BOOLEAN:
        return None
    if len(orders) > 1:
        return f"{' or '.join(orders)}: no day is past the 12th; declare date_order"
    if len(group) > 1:
        return f"{' or '.join(map(_reading, conventions))}: no cell tells which; declare decimal"
    mixed = 0 < group[0].zoned < group[0].converting
    if mixed and conventions[0].timezone is None:
        return (
            f"timestamp: {group[0].zoned} of {group[0].converting} cells say their time zone, the others do not; "
            "declare timezone for these"
        )
    return None


def _reading(convention: Convention) -> str:
    decimal = f"decimal {convention.decimal!r}" if convention.decimal else ""
    thousands = f"thousands {convention.thousands!r}" if convention.thousands else ""
    return " with ".join(part for part in (decimal, thousands) if part)


def _proposal(best: Finding, values: int, failing: int) -> str:
    kind = best.candidate.kind
    if not failing:
        return f"{kind}: all cells could be, but they may as well be identifiers or codes; declare the kind"
    if failing == best.words:
        return f"{kind}: {failing} of {values} cells seem to say that a value is missing; declare missing_words"
    return (
        f"{kind}: {failing} of {values} cells do not convert without loss, such as {best.example!r}; declare the kind"
    )
