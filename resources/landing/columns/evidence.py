"""Candidates tried on the cells of a table.

Belongs here: samples, counts over all cells, and cells that a candidate does not explain. Does not belong here: what
follows from them (`inference.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resources.landing.columns.candidates import MISSING_WORDS, SURE_PAIR, Candidate
from resources.landing.columns.conversion import conversion
from resources.landing.columns.instants import has_zone
from resources.landing.columns.kinds import Kind
from resources.landing.columns.numbers import integer_is_exact, number_is_exact
from resources.landing.columns.sql_text import literals, trimmed
from resources.landing.text_table import ROWS, TextTable

SAMPLED_ROWS = 1_000
"""Rows looked at for candidates: half of them the first ones, the rest evenly over the file."""
SAMPLED_CELLS = 100_000
"""In wide tables fewer rows are looked at, so that there are no more cells."""
COUNTEREXAMPLES = 200
EXAMPLE_SHOWN = 60
TRIED_AT_ONCE = 40
"""Candidates per statement: more would only take long to plan."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a candidate makes of all cells of a column."""

    column: str
    candidate: Candidate
    converting: int
    """Cells that convert without loss."""
    blank: int
    """Cells of nothing but spaces, which are missing to every kind but text."""
    words: int
    """Other cells that do not, but stand for a missing value."""
    zoned: int
    """Converting cells that say their own time zone."""
    timed: int
    """Converting cells that say a time of day."""
    has_evidence: bool
    """The converting cells show what the candidate needs to be believed: both words of a pair, say."""
    example: str | None
    """A cell that neither converts nor stands for a missing value."""


def count_present(table: TextTable) -> dict[str, int]:
    """How many cells of each column are neither NULL nor empty."""
    counts = ", ".join(f"count(nullif({column}, ''))" for column in table.columns)
    found = table.connection.execute(f"SELECT {counts or 0} FROM {ROWS}").fetchall()
    return dict(zip(table.columns, found[0], strict=False))


def longest(table: TextTable, columns: Sequence[str]) -> dict[str, int]:
    """Bytes of the longest cell of each of the columns; 0 where all are missing."""
    if not columns:
        return {}
    sizes = ", ".join(f"coalesce(max(strlen({column})), 0)" for column in columns)
    (found,) = table.connection.execute(f"SELECT {sizes} FROM {ROWS}").fetchall()
    return dict(zip(columns, found, strict=True))


def sample(table: TextTable, rows: int) -> dict[str, list[str]]:
    """Cells of each column that are neither NULL nor empty, from the beginning and from all over the file."""
    chosen = f"SELECT {', '.join(table.columns) or 0} FROM {ROWS} WHERE {_is_sampled(table, rows)}"
    found = table.connection.execute(chosen).fetchall()
    return {column: [row[place] for row in found if row[place]] for place, column in enumerate(table.columns)}


def refuted(table: TextTable, wanted: Mapping[str, list[Candidate]], rows: int) -> set[tuple[str, Candidate]]:
    """The candidates of each column that do not explain some cell of its sample."""
    tries = [(column, candidate) for column, tried in wanted.items() for candidate in tried]
    found: set[tuple[str, Candidate]] = set()
    for start in range(0, len(tries), TRIED_AT_ONCE):
        some = tries[start : start + TRIED_AT_ONCE]
        tests = ", ".join(f"bool_or({_is_left(*each)} AND NOT {_is_word(*each)})" for each in some)
        query = f"SELECT {tests} FROM {ROWS} WHERE {_is_sampled(table, rows)}"
        (answers,) = table.connection.execute(query).fetchall()
        found |= {each for each, is_refuted in zip(some, answers, strict=True) if is_refuted}
    return found


def first_present(table: TextTable, column: str) -> list[str]:
    """The first cells of a column that are neither NULL nor empty."""
    query = f"SELECT {column} FROM {ROWS} WHERE {column} <> '' LIMIT {SAMPLED_ROWS}"
    return [cell for (cell,) in table.connection.execute(query).fetchall()]


def verify(
    table: TextTable, wanted: Mapping[str, list[Candidate]], present: Mapping[str, int]
) -> dict[str, list[Finding]]:
    """What the candidates of each column make of all its cells, of which `present` says how many are not missing."""
    tries = [(column, candidate) for column, tried in wanted.items() for candidate in tried]
    findings: dict[str, list[Finding]] = {column: [] for column in wanted}
    for start in range(0, len(tries), TRIED_AT_ONCE):
        for finding in _verify(table, tries[start : start + TRIED_AT_ONCE], present):
            findings[finding.column].append(finding)
    return findings


def counterexamples(table: TextTable, finding: Finding) -> list[str]:
    """Some cells that a candidate does not explain."""
    column, candidate = finding.column, finding.candidate
    unexplained = f"{_is_left(column, candidate)} AND NOT {_is_word(column, candidate)}"
    query = f"SELECT {column} FROM {ROWS} WHERE {unexplained} LIMIT {COUNTEREXAMPLES}"
    return [cell for (cell,) in table.connection.execute(query).fetchall()]


def differ(table: TextTable, one: Finding, other: Finding) -> bool:
    """Whether two candidates make different values of some cell that both convert."""
    values = [
        conversion(one.column, finding.candidate.kind, finding.candidate.convention).value for finding in (one, other)
    ]
    query = f"SELECT 1 FROM {ROWS} WHERE ({values[0]}) <> ({values[1]}) LIMIT 1"
    return table.connection.execute(query).fetchone() is not None


def missing_words(table: TextTable, column: str) -> list[str]:
    """The texts of a column, in alphabetical order, that stand for a missing value, as they are written."""
    word = trimmed(column)
    query = (
        f"SELECT DISTINCT {word} FROM {ROWS} WHERE {column} <> '' AND lower({word}) IN ({literals(MISSING_WORDS)})"
        " ORDER BY 1"
    )
    return [found for (found,) in table.connection.execute(query).fetchall()]


def _is_sampled(table: TextTable, rows: int) -> str:
    half = min(SAMPLED_ROWS, SAMPLED_CELLS // max(1, table.column_count)) // 2
    return f"rowid < {half} OR rowid % {max(1, rows // half)} = 0"


def _verify(table: TextTable, tries: list[tuple[str, Candidate]], present: Mapping[str, int]) -> Iterator[Finding]:
    columns = ", ".join(dict.fromkeys(column for column, _ in tries))
    tests = ", ".join(f"{_converts(*each)} AS e{number}" for number, each in enumerate(tries))
    counts = ", ".join(_counts(f"e{number}", *each) for number, each in enumerate(tries))
    query = f"SELECT {counts} FROM (SELECT {columns}, {tests} FROM {ROWS})"
    (found,) = table.connection.execute(query).fetchall()
    for (column, candidate), counted in zip(tries, found, strict=True):
        left: dict[str, Any] = {"blank": 0, "words": 0, "example": None}
        if counted["converting"] < present[column]:
            left = _left(table, column, candidate)
        yield Finding(column=column, candidate=candidate, **counted, **left)


def _left(table: TextTable, column: str, candidate: Candidate) -> dict[str, Any]:
    """What the cells that do not convert are."""
    is_word = _is_word(column, candidate)
    is_blank = f"{trimmed(column)} = ''"
    query = (
        f"SELECT {{'blank': count(*) FILTER ({is_blank}), 'words': count(*) FILTER ({is_word} AND NOT {is_blank}),"
        f" 'example': min(left({column}, {EXAMPLE_SHOWN})) FILTER (NOT {is_word})}}"
        f" FROM {ROWS} WHERE {_is_left(column, candidate)}"
    )
    ((found,),) = table.connection.execute(query).fetchall()
    return dict(found)


def _is_word(column: str, candidate: Candidate) -> str:
    """SQL of whether a cell is blank or, to this candidate, stands for a missing value."""
    known = () if candidate.kind is Kind.BOOLEAN else MISSING_WORDS
    is_known = f"lower({trimmed(column)}) IN ({literals(('', *known))})"
    if declared := candidate.convention.missing_words:
        return f"({is_known} OR {trimmed(column)} IN ({literals(declared)}))"
    return is_known


def _is_left(column: str, candidate: Candidate) -> str:
    """SQL of whether a cell holds something that does not convert."""
    return f"{column} <> '' AND NOT coalesce({_converts(column, candidate)}, FALSE)"


def _converts(column: str, candidate: Candidate) -> str:
    """SQL of whether a cell converts without loss."""
    convention = candidate.convention
    match candidate.kind:
        case Kind.INTEGER:
            exact = integer_is_exact(column, convention)
        case Kind.NUMBER:
            exact = number_is_exact(column, convention)
        case _:
            return f"({conversion(column, candidate.kind, convention).value}) IS NOT NULL"
    if not convention.missing_words:
        return exact
    return f"CASE WHEN {trimmed(column)} IN ({literals(convention.missing_words)}) THEN FALSE ELSE {exact} END"


def _counts(converts: str, column: str, candidate: Candidate) -> str:
    """SQL of a struct of what a finding has of the cells that convert."""
    zoned = timed = "0"
    evidence = "TRUE"
    if candidate.kind is Kind.TIMESTAMP and not candidate.convention.epoch_unit:
        zoned = f"count(*) FILTER ({converts} AND {has_zone(column)})"
        timed = f"count(*) FILTER ({converts} AND regexp_matches({column}, ':|T[0-9]'))"
    elif candidate.kind is Kind.BOOLEAN:
        words = candidate.convention.true_words + candidate.convention.false_words
        if words != SURE_PAIR:
            evidence = f"count(DISTINCT lower({trimmed(column)})) FILTER ({converts}) = 2"
    elif candidate.needs_sign_of_fraction:
        evidence = f"coalesce(bool_or(regexp_matches({column}, '[.]|[eE][+-]')) FILTER ({converts}), FALSE)"
    return (
        f"{{'converting': count(*) FILTER ({converts}), 'zoned': {zoned}, 'timed': {timed},"
        f" 'has_evidence': {evidence}}}"
    )
