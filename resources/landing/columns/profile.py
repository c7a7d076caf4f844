"""What the typed columns hold, in numbers.

Belongs here: one summary per column of `rows_typed`. Does not belong here: judging them, or text that never got a type.
"""

from dataclasses import dataclass
from typing import Any

from resources.landing.columns.casting import BAD_CELLS, TYPED, Casted, Plan
from resources.landing.columns.kinds import Kind
from resources.landing.columns.sql_text import identifier
from resources.landing.text_table import TextTable

COUNTED_DISTINCT = 3_000_000
"""So many different values of a column are counted; if there seem to be more, the estimate stands, within some 5 %."""
SAMPLES = 5
SAMPLED_ROWS = 10_000
COLUMNS_AT_ONCE = 100
"""Columns per statement: the parser takes only so many."""
COUNTED_AT_ONCE = 10
"""Columns whose different values are counted in one statement: each takes megabytes of memory, however few they are."""
TEXT_SHOWN = 200
"""Characters of a text that a profile shows."""


@dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """One column of the typed rows; `values` and `nulls` add up to them."""

    name: str
    kind: Kind
    values: int
    nulls: int
    distinct: int
    distinct_is_exact: bool
    """False: an estimate (HyperLogLog), since there are too many to be counted in bounded memory."""
    minimum: str | None
    """The smallest value as text (texts by code point, cut at 200 characters); None: there is none."""
    maximum: str | None
    mean: float | None
    """Of numbers only."""
    samples: tuple[str, ...]
    """Up to five different values as text: those that come first."""
    bad: int
    """Entries in `bad_cells`."""


def profile(casted: Casted) -> list[ColumnProfile]:
    """One summary per column, in the order of the plans. Instants are shown in UTC."""
    plans, table = casted.plans, casted.table
    if not plans:
        return []
    summaries = _summaries(table, plans, may_be_many=casted.rows > COUNTED_DISTINCT)
    bad = dict(table.connection.execute(f"SELECT column_name, count(*) FROM {BAD_CELLS} GROUP BY ALL").fetchall())
    firsts = _first_samples(table, plans)
    estimates = [summary["estimate"] or summary["values"] for summary in summaries]
    counted = _count_distinct(table, plans, estimates)
    found = []
    for plan, summary, estimate, samples in zip(plans, summaries, estimates, firsts, strict=True):
        is_exact = plan.name in counted
        distinct = counted.get(plan.name, estimate)
        if len(samples) < min(SAMPLES, distinct):
            samples = _samples(table, plan)
        found.append(
            ColumnProfile(
                name=plan.name,
                kind=plan.kind,
                values=summary["values"],
                nulls=casted.rows - summary["values"],
                distinct=distinct,
                distinct_is_exact=is_exact,
                minimum=summary["minimum"],
                maximum=summary["maximum"],
                mean=summary["mean"],
                samples=tuple(samples),
                bad=bad.get(plan.name, 0),
            )
        )
    return found


def _summaries(table: TextTable, plans: tuple[Plan, ...], *, may_be_many: bool) -> list[dict[str, Any]]:
    structs = []
    for plan in plans:
        column = identifier(plan.name)
        mean = f"favg({column})" if plan.kind in (Kind.INTEGER, Kind.NUMBER) else "NULL"
        estimate = f"approx_count_distinct({column})" if may_be_many else "NULL"
        structs.append(
            f"{{'values': count({column}), 'minimum': {_shown(f'min({column})')},"
            f" 'maximum': {_shown(f'max({column})')}, 'mean': {mean}, 'estimate': {estimate}}}"
        )
    return list(table.connection.execute(f"SELECT {', '.join(structs)} FROM {TYPED}").fetchall()[0])


def _count_distinct(table: TextTable, plans: tuple[Plan, ...], estimates: list[int]) -> dict[str, int]:
    """Different values by column, unless there are too many; small columns are counted together, large ones alone."""
    counted: dict[str, int] = {}
    together: list[str] = []
    expected = 0
    for plan, estimate in [*zip(plans, estimates, strict=True), (None, 0)]:
        is_full = len(together) == COUNTED_AT_ONCE or expected + estimate > COUNTED_DISTINCT
        if together and (plan is None or is_full):
            counts = ", ".join(f"count(DISTINCT {identifier(name)})" for name in together)
            (found,) = table.connection.execute(f"SELECT {counts} FROM {TYPED}").fetchall()
            counted.update(zip(together, found, strict=True))
            together, expected = [], 0
        if plan is not None and estimate <= COUNTED_DISTINCT:
            together.append(plan.name)
            expected += estimate
    return counted


def _first_samples(table: TextTable, plans: tuple[Plan, ...]) -> list[list[str]]:
    """What comes first among the first rows, which nearly always is what comes first of all."""
    found: list[list[str]] = []
    for start in range(0, len(plans), COLUMNS_AT_ONCE):
        some = plans[start : start + COLUMNS_AT_ONCE]
        names = ", ".join(identifier(plan.name) for plan in some)
        head = f"(SELECT line_no, {names} FROM {TYPED} ORDER BY line_no LIMIT {SAMPLED_ROWS})"
        chosen = ", ".join(f"(SELECT list(shown ORDER BY line_no) FROM ({_sample(plan, head)}))" for plan in some)
        (lists,) = table.connection.execute(f"SELECT {chosen}").fetchall()
        found += [samples or [] for samples in lists]
    return found


def _samples(table: TextTable, plan: Plan) -> list[str]:
    query = f"SELECT shown FROM ({_sample(plan, TYPED)}) ORDER BY line_no"
    return [shown for (shown,) in table.connection.execute(query).fetchall()]


def _sample(plan: Plan, source: str) -> str:
    column = identifier(plan.name)
    return (
        f"SELECT {_shown(column)} AS shown, min(line_no) AS line_no FROM {source} WHERE {column} IS NOT NULL"
        f" GROUP BY {column} ORDER BY line_no LIMIT {SAMPLES}"
    )


def _shown(value: str) -> str:
    return f"left(({value})::VARCHAR, {TEXT_SHOWN})"
