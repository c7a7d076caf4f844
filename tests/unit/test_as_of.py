"""The point-in-time join as a statement: which rows it lets count. What it gives is tested on real servers."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from resources.feast.as_of import FeatureRows, as_of, text_of

ENTITIES = sa.table("asked", sa.column("k"), sa.column("at"))
ROWS = sa.table("features", sa.column("k"), sa.column("t"), sa.column("x"))
DAY = timedelta(days=1)


def statement(**options: object) -> str:
    rows = FeatureRows(parts=(ROWS,), keys={"k": "k"}, time="t", features={"x": "x"}, **options)  # type: ignore[arg-type]
    return " ".join(text_of(as_of(ENTITIES, "at", ["k"], [rows])).split())


def test_a_label_counts_only_where_its_time_has_come() -> None:
    told = statement(ahead=DAY, until=datetime(2026, 1, 2, tzinfo=UTC))
    assert "asked.at + CAST('86400.000000 seconds' AS INTERVAL) <= '2026-01-02 00:00:00+00:00'" in told
    assert "2026-01-02" not in statement(ahead=DAY)


def test_a_row_counts_from_when_it_is_whole() -> None:
    whole = "source.t <= asked.at - CAST('86400.000000 seconds' AS INTERVAL)"
    assert whole in statement(complete_after=DAY)
    assert "source.t <= asked.at" in statement() and whole not in statement()
