"""What the database counts for the dimensions of a table: rows planted in it, one question at a time."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from resources.catalog.schema import CatalogedTimescale
from resources.profiling.measures import agreements, measures
from resources.timescale import sql
from resources.timescale.arrow import to_arrow
from schemas.catalog import LEDGER
from schemas.quality_dimensions import Judged, Order, Reference, Same
from schemas.table_spec import TableSpec
from schemas.tables import AIR_QUALITY, OPENAQ_MEASUREMENTS, QUALITIES, TABLES
from schemas.window import ONE_DAY, Window
from tests.builders import FIRST_DAY, KNOWN_AT, rows_of, series_rows, staging_rows, together

DAY = Window(FIRST_DAY, FIRST_DAY + ONE_DAY)
SALES = TABLES["staging.sales_data"]
USERS, TASKS, PROJECTS = (TABLES[f"staging.delivery_{name}"] for name in ("users", "tasks", "projects"))
ASKED = {one.table: one for quality in QUALITIES for one in quality.judged}
Fill = Callable[..., None]


@pytest.fixture(scope="module")
def timescale(module_postgres_url: str) -> CatalogedTimescale:
    timescale = CatalogedTimescale(database_url=module_postgres_url)
    with timescale.connect() as connection:
        for spec in (AIR_QUALITY, OPENAQ_MEASUREMENTS, SALES, USERS, TASKS, PROJECTS):
            sql.table_of(spec).create(connection)
    return timescale


@pytest.fixture
def fill(timescale: CatalogedTimescale) -> Iterator[Fill]:
    filled = {LEDGER}

    def fill(spec: TableSpec, rows: pd.DataFrame) -> None:
        with timescale.transaction() as transaction:
            transaction.copy(sql.table_of(spec), to_arrow(rows, spec.model))
        filled.add(sql.table_of(spec))

    yield fill
    with timescale.connect() as connection:
        for table in filled:
            connection.execute(sa.delete(table))


def counted(timescale: CatalogedTimescale, judged: Judged, window: Window = DAY) -> dict[str, Any]:
    with timescale.connect() as connection:
        found = measures(connection, judged, window, TABLES)
    return dict(found.iloc[-1]) if len(found) else {}


def agreed(timescale: CatalogedTimescale, judged: Judged, window: Window = DAY) -> dict[str, tuple[int, int]]:
    with timescale.connect() as connection:
        found = agreements(connection, judged, window, TABLES)
    return {row.rule: (int(row.asked), int(row.agree)) for row in found.itertuples()}


def test_guesses_and_nulls_fill_no_cell(timescale: CatalogedTimescale, fill: Fill) -> None:
    imputed = [False] * 18 + [True] * 6
    fill(AIR_QUALITY, series_rows([1.0] * 12 + [None] * 6 + [2.0] * 6, is_imputed=imputed))
    found = counted(timescale, ASKED["timeseries.air_quality"])
    assert (found["rows"], found["cells_filled"], found["values"], found["values_valid"]) == (24, 12, 12, 12)


def test_values_a_flag_forbids_are_not_valid(timescale: CatalogedTimescale, fill: Fill) -> None:
    fill(AIR_QUALITY, series_rows([1.0] * 4, is_valid=[True, True, False, True]))
    found = counted(timescale, ASKED["timeseries.air_quality"])
    assert (found["values"], found["values_valid"]) == (4, 3)


def test_who_was_there_in_the_week_before_is_expected_and_after_it_is_not(
    timescale: CatalogedTimescale, fill: Fill
) -> None:
    fill(AIR_QUALITY, together(series_rows([1.0]), series_rows([1.0], first=FIRST_DAY - 3 * ONE_DAY, sensors_id=12)))
    window = Window(FIRST_DAY, FIRST_DAY + 9 * ONE_DAY)
    with timescale.connect() as connection:
        found = measures(connection, ASKED["timeseries.air_quality"], window, TABLES)
    expected = dict(zip(found.index, found["entities_expected"], strict=True))
    day = FIRST_DAY.date()
    assert expected == {day + timedelta(days=n): 2 if n <= 3 else 1 for n in range(8)}
    assert list(found["entities"]) == [1, *[0] * 7]
    assert list(found["rows"]) == [1, *[0] * 7]
    assert set(found["known_at"]) == {pd.Timestamp(KNOWN_AT)}


def test_a_day_holds_what_its_table_says_it_holds(timescale: CatalogedTimescale, fill: Fill) -> None:
    fill(AIR_QUALITY, series_rows([1.0, 2.0], first=FIRST_DAY, step=ONE_DAY))
    assert counted(timescale, ASKED["timeseries.air_quality"])["rows"] == 1
    assert counted(timescale, ASKED["timeseries.air_quality"], Window(FIRST_DAY - ONE_DAY, FIRST_DAY))["rows"] == 1


def test_rows_that_repeat_an_identity_are_counted(timescale: CatalogedTimescale, fill: Fill) -> None:
    again = staging_rows([1.0, 2.0, 3.0], first_line=10)
    fill(OPENAQ_MEASUREMENTS, together(staging_rows([1.0, 2.0]), again, staging_rows([1.0], first_line=20)))
    assert counted(timescale, ASKED["staging.openaq_measurements"])["repeated"] == 3


def test_two_sensors_of_a_place_are_each_others_reference(timescale: CatalogedTimescale, fill: Fill) -> None:
    one = series_rows([100.0, 100.0, 10.0, 10.0, 100.0])
    other = series_rows([120.0, 140.0, 14.0, None, 500.0], sensors_id=12, is_valid=[True, True, True, False, False])
    elsewhere = series_rows([1.0] * 5, location_id=2, sensors_id=13)
    fill(AIR_QUALITY, together(one, other, elsewhere))
    found = counted(timescale, ASKED["timeseries.air_quality"])
    assert (found["twins"], found["twins_agree"]) == (3, 2)


@pytest.mark.parametrize(
    ("first_write", "known_at", "timely"),
    [
        (FIRST_DAY, FIRST_DAY + 2 * ONE_DAY, (3, 3)),
        (FIRST_DAY, FIRST_DAY + 8 * ONE_DAY, (0, 3)),
        (FIRST_DAY + 2 * ONE_DAY, FIRST_DAY + 2 * ONE_DAY, (0, 0)),
    ],
    ids=["in time", "too late", "nobody was there to know it in time"],
)
def test_what_ended_before_anything_was_written_cannot_be_late(
    timescale: CatalogedTimescale, fill: Fill, first_write: datetime, known_at: datetime, timely: tuple[int, int]
) -> None:
    fill(AIR_QUALITY, series_rows([1.0] * 3, known_at=known_at))
    _enter(timescale, AIR_QUALITY, first_write)
    found = counted(timescale, ASKED["timeseries.air_quality"])
    assert (found["timely"], found["timely_of"]) == timely


def test_rows_of_files_are_late_by_what_they_are_about(timescale: CatalogedTimescale, fill: Fill) -> None:
    rows = rows_of(SALES, 3)
    about = pd.Series([FIRST_DAY - n * ONE_DAY for n in (1, 40, 400)], dtype=rows["transaction_date"].dtype)
    fill(SALES, rows.assign(arrived_at=rows["arrived_at"].iloc[0], transaction_date=about))
    _enter(timescale, SALES, FIRST_DAY - 100 * ONE_DAY)
    found = counted(timescale, ASKED["staging.sales_data"])
    assert (found["timely"], found["timely_of"]) == (1, 2)


def test_what_most_say_of_a_thing_is_right(timescale: CatalogedTimescale, fill: Fill) -> None:
    units = ["µg/m³"] * 20 + ["ppm"] * 4
    fill(OPENAQ_MEASUREMENTS, staging_rows([1.0] * 24, units=units))
    (found,) = agreed(timescale, ASKED["staging.openaq_measurements"]).values()
    assert found == (24, 20)


def test_a_reference_to_nothing_and_an_end_before_its_start_disagree(timescale: CatalogedTimescale, fill: Fill) -> None:
    judged = ASKED["staging.delivery_tasks"]
    refers, order = (next(rule for rule in judged.consistent if isinstance(rule, kind)) for kind in (Reference, Order))
    stamp, end = {"snapshot_at": FIRST_DAY + ONE_DAY}, FIRST_DAY
    tasks = rows_of(TASKS, 4).assign(**stamp)
    tasks["project_id"] = pd.array(["p1", "p1", "p2", None], dtype=tasks["project_id"].dtype)
    tasks["created_at"] = end
    tasks["completed_at"] = pd.Series([end, end - ONE_DAY, end + ONE_DAY, pd.NaT], dtype=tasks["completed_at"].dtype)
    fill(TASKS, tasks.astype(rows_of(TASKS, 1).dtypes))
    projects = rows_of(PROJECTS, 1).assign(**stamp, project_id="p1")
    yesterday = projects.assign(project_id="p2", snapshot_at=FIRST_DAY)
    fill(PROJECTS, together(projects, yesterday).astype(rows_of(PROJECTS, 1).dtypes))
    found = agreed(timescale, replace(judged, consistent=(refers, order)))
    assert found == {refers.name: (3, 2), order.name: (3, 2)}


def test_a_step_that_read_less_than_was_loaded_disagrees_with_it(timescale: CatalogedTimescale, fill: Fill) -> None:
    _enter(timescale, OPENAQ_MEASUREMENTS, FIRST_DAY, read=10, loaded=10)
    _enter(timescale, AIR_QUALITY, FIRST_DAY, read=8, loaded=8)
    judged = replace(ASKED["timeseries.air_quality"], consistent=())
    assert agreed(timescale, judged) == {"reads what staging.openaq_measurements loaded": (10, 8)}


def test_a_rule_without_rows_is_asked_of_nobody(timescale: CatalogedTimescale) -> None:
    judged = Judged(
        table=AIR_QUALITY.qualified, filled=("value",), consistent=(Same(columns=("unit",), per=("flags",)),)
    )
    assert agreed(timescale, judged) == {}
    assert counted(timescale, judged) == {}


def _enter(timescale: CatalogedTimescale, spec: TableSpec, at: datetime, *, read: int = 0, loaded: int = 0) -> None:
    entry = {"table_name": spec.qualified, "day": FIRST_DAY.date(), "unit": "", "run_id": "planted"}
    with timescale.connect() as connection:
        connection.execute(sa.insert(LEDGER).values(**entry, committed_at=at, read=read, loaded=loaded))
