"""Planning: days become the fewest ranges, nothing is asked for too early, nothing is forgotten."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_pkg.planning import (
    FIRST_WAIT,
    LONGEST_RUN,
    LONGEST_WAIT,
    DayRange,
    Work,
    affordable,
    fetch_work,
    is_due,
    ranges,
    stale_work,
    without,
)
from resources.catalog.sources import Owed
from schemas.tables import AIR_QUALITY, AIR_QUALITY_HOURLY, AIR_QUALITY_REPORT, OPENAQ_MEASUREMENTS, TABLES

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
DAYS = st.dates(date(2025, 1, 1), date(2025, 3, 31))
SPECS = tuple(TABLES.values())
TODAY = NOW.date()
STAGING, SERIES = OPENAQ_MEASUREMENTS.qualified, AIR_QUALITY.qualified
FEATURES, QUALITY = AIR_QUALITY_HOURLY.qualified, AIR_QUALITY_REPORT.qualified
RANGES = st.tuples(DAYS, st.integers(0, 20)).map(lambda one: DayRange(one[0], one[0] + timedelta(days=one[1])))
MARKS = st.dictionaries(
    st.sampled_from([SERIES, FEATURES, QUALITY]), st.dictionaries(DAYS, st.integers(1, 99), max_size=30)
)
BUSY = st.dictionaries(st.sampled_from(list(TABLES)), st.lists(RANGES, max_size=2))


def day(number: int) -> date:
    return date(2025, 1, number)


def span(first: int, last: int) -> DayRange:
    return DayRange(day(first), day(last))


def owed(unit: int, number: int, *, attempts: int = 1, is_transient: bool = True, due: bool = True) -> Owed:
    return Owed(str(unit), day(number), "down", is_transient, attempts, NOW + timedelta(minutes=0 if due else 1))


def asked_for(works: list[Work]) -> dict[str, set[date]]:
    found: dict[str, set[date]] = {}
    for work in works:
        for table in work.tables:
            assert not found.setdefault(table, set()) & set(work.days.days()), "asked for twice"
            found[table].update(work.days.days())
    return found


@given(st.sets(DAYS))
def test_ranges_hold_exactly_the_days_and_never_touch(days: set[date]) -> None:
    found = ranges(days)
    assert [one for whole in found for one in whole.days()] == sorted(days)
    assert all(later.first - earlier.last > timedelta(days=1) for earlier, later in pairwise(found))


@given(st.sets(DAYS), st.lists(RANGES, max_size=4))
def test_without_drops_exactly_the_busy_days(days: set[date], busy: list[DayRange]) -> None:
    left = without(days, busy)
    assert left == sorted(left)
    assert set(left) == {one for one in days if not any(taken.first <= one <= taken.last for taken in busy)}


@given(MARKS, BUSY)
def test_only_stale_days_whose_upstream_rests_are_asked_for(
    marks: dict[str, dict[date, int]], busy: dict[str, list[DayRange]]
) -> None:
    found = asked_for(stale_work(marks, busy, SPECS, TODAY))
    for spec in SPECS:
        for one in found.get(spec.qualified, set()):
            assert one in marks[spec.qualified]
            assert not any(taken.first <= one <= taken.last for taken in busy.get(spec.qualified, ()))
            for read in spec.reads:
                for offset in range(-read.before.days, read.after.days + 1):
                    needed = one + timedelta(days=offset)
                    assert needed not in marks.get(read.table, {})
                    assert not any(taken.first <= needed <= taken.last for taken in busy.get(read.table, ()))


@given(MARKS)
def test_doing_the_work_again_and_again_ends_with_nothing_stale(marks: dict[str, dict[date, int]]) -> None:
    left = {table: dict(days) for table, days in marks.items()}
    for _ in range(len(SPECS)):
        for table, days in asked_for(stale_work(left, {}, SPECS, TODAY)).items():
            for one in days:
                del left[table][one]
    assert not any(left.values())


@given(MARKS, BUSY)
def test_the_newest_days_come_first(marks: dict[str, dict[date, int]], busy: dict[str, list[DayRange]]) -> None:
    found = [work.days for work in stale_work(marks, busy, SPECS, TODAY)]
    assert found == sorted(found, reverse=True)


def test_layers_wait_for_each_other() -> None:
    marks = {SERIES: {day(10): 4}, FEATURES: {day(10): 1, day(17): 2, day(18): 3}, QUALITY: {day(9): 7}}
    assert stale_work(marks, {}, SPECS, TODAY) == [
        Work((FEATURES,), span(18, 18), 3),
        Work((SERIES,), span(10, 10), 4),
        Work((QUALITY,), span(9, 9), 7),
    ]
    busy = {STAGING: [span(11, 11)]}
    assert [work.tables for work in stale_work(marks, busy, SPECS, TODAY)] == [(FEATURES,), (QUALITY,)]


def test_tables_that_are_stale_on_the_same_range_share_a_run() -> None:
    stale = {day(3): 5, day(4): 9}
    assert stale_work({FEATURES: stale, QUALITY: {day(3): 2, day(4): 3}}, {}, SPECS, TODAY) == [
        Work((FEATURES, QUALITY), span(3, 4), 9)
    ]


def test_a_new_mark_makes_other_work() -> None:
    (before,) = stale_work({SERIES: {day(3): 5}}, {}, SPECS, TODAY)
    (after,) = stale_work({SERIES: {day(3): 6}}, {}, SPECS, TODAY)
    assert before.name != after.name


def test_a_long_history_is_cut_from_its_newest_end() -> None:
    days = [date(2020, 1, 1) + timedelta(days=n) for n in range(LONGEST_RUN + 10)]
    newest, oldest = stale_work({FEATURES: dict.fromkeys(days, 1)}, {}, SPECS, TODAY)
    assert newest.days == DayRange(days[10], days[-1])
    assert oldest.days == DayRange(days[0], days[9])


@pytest.mark.parametrize(
    ("tried", "waited", "due"),
    [
        (0, timedelta(0), True),
        (1, FIRST_WAIT, True),
        (1, FIRST_WAIT - timedelta(seconds=1), False),
        (3, 4 * FIRST_WAIT, True),
        (3, 4 * FIRST_WAIT - timedelta(seconds=1), False),
        (500, LONGEST_WAIT, True),
        (500, LONGEST_WAIT - timedelta(seconds=1), False),
    ],
)
def test_waits_double_up_to_the_longest(tried: int, waited: timedelta, due: bool) -> None:
    assert is_due(tried, NOW - waited, NOW) is due


@given(st.integers(1, 10_000), st.timedeltas(timedelta(0), timedelta(days=2)))
def test_work_is_never_given_up(tried: int, waited: timedelta) -> None:
    assert is_due(tried, NOW - waited, NOW) or waited < LONGEST_WAIT


def test_news_is_asked_for_in_ranges_of_all_locations_and_its_name_follows_its_reasons() -> None:
    news: Mapping[date, set[str]] = {day(3): {"a", "b"}, day(4): {"a"}, day(7): {"a"}}
    found = fetch_work(STAGING, news, [], [span(7, 9)], NOW)
    assert [(work.days, work.locations) for work in found] == [(span(3, 4), ())]
    assert fetch_work(STAGING, {day(3): {"b", "a"}, day(4): {"a"}}, [], [], NOW)[0].name == found[0].name
    assert fetch_work(STAGING, {day(3): {"a"}, day(4): {"a"}}, [], [], NOW)[0].name != found[0].name


def test_debts_are_asked_for_when_due_and_of_the_debtors_only() -> None:
    debts = [owed(1, 3), owed(2, 3), owed(1, 4), owed(2, 4), owed(2, 5), owed(1, 9, due=False), owed(1, 12)]
    found = fetch_work(STAGING, {}, debts, [span(12, 12)], NOW)
    assert [(work.days, work.locations) for work in found] == [(span(5, 5), (2,)), (span(3, 4), (1, 2))]


def test_a_day_that_keeps_failing_is_asked_for_alone() -> None:
    debts = [owed(1, number) for number in (3, 4)] + [owed(1, number, attempts=3) for number in (5, 6)]
    debts += [owed(1, number, is_transient=False) for number in (7, 8)]
    found = fetch_work(STAGING, {}, debts, [], NOW)
    assert [work.days for work in found] == [span(8, 8), span(7, 7), span(6, 6), span(5, 5), span(3, 4)]


def test_a_debt_on_a_day_with_news_is_asked_for_with_it() -> None:
    (found,) = fetch_work(STAGING, {day(3): {"a"}}, [owed(1, 3)], [], NOW)
    assert found.locations == ()


@given(
    st.dictionaries(DAYS, st.sets(st.sampled_from("abc"), min_size=1), max_size=15),
    st.lists(
        st.builds(
            Owed,
            st.sampled_from(["1", "2", "3"]),
            DAYS,
            st.just("down"),
            st.booleans(),
            st.integers(1, 5),
            st.sampled_from([NOW, NOW + timedelta(seconds=1)]),
        ),
        max_size=20,
        unique_by=lambda one: (one.unit, one.day),
    ),
    st.lists(RANGES, max_size=2),
)
def test_every_due_day_is_fetched_once_and_no_other(
    news: dict[date, set[str]], debts: list[Owed], busy: list[DayRange]
) -> None:
    found = fetch_work(STAGING, news, debts, busy, NOW)
    due = {one.day for one in debts if one.next_attempt_at <= NOW}
    assert asked_for(found).get(STAGING, set()) == set(without(due | set(news), busy))
    for work in found:
        for one in work.days.days():
            units = {int(debt.unit) for debt in debts if debt.day == one and debt.next_attempt_at <= NOW}
            assert set(work.locations) == (set() if one in news else units)
    assert len({work.name for work in found}) == len(found)


def test_work_is_afforded_in_order_and_the_first_always_if_anything_is_left() -> None:
    works = [Work((STAGING,), span(number, number), 1) for number in (9, 5, 1)]
    cost = dict(zip(works, (50, 500, 20), strict=True))
    assert affordable(works, cost, None) == works
    assert affordable(works, cost, 80) == [works[0], works[2]]
    assert affordable(works, cost, 10) == [works[0]]
    assert affordable(works, cost, 0) == []


def test_tables_of_different_datasets_never_share_a_run() -> None:
    sales = "timeseries.sales"
    assert stale_work({FEATURES: {day(3): 1}, sales: {day(3): 2}}, {}, SPECS, TODAY) == [
        Work((sales,), span(3, 3), 2),
        Work((FEATURES,), span(3, 3), 1),
    ]


def test_a_day_to_come_waits_until_it_is_there() -> None:
    marks = {"timeseries.sales": {TODAY: 1, TODAY + timedelta(days=1): 1}}
    (work,) = stale_work(marks, {}, SPECS, TODAY)
    assert work.days == DayRange(TODAY, TODAY)
    (both,) = stale_work(marks, {}, SPECS, TODAY + timedelta(days=1))
    assert both.days == DayRange(TODAY, TODAY + timedelta(days=1))


def test_a_file_that_is_being_loaded_does_not_hold_up_the_days_it_may_be_about() -> None:
    busy = {"staging.sales_data": [span(3, 3)]}
    assert [work.days for work in stale_work({"timeseries.sales": {day(3): 1}}, busy, SPECS, TODAY)] == [span(3, 3)]


def test_quality_tells_of_a_day_that_is_held_back() -> None:
    held = {STAGING: {day(3)}}
    judged = tuple(TABLES[name] for name in (STAGING, "quality.openaq_staging"))
    (work,) = stale_work({"quality.openaq_staging": {day(3): 1}}, {}, judged, TODAY, held)
    assert work.days == span(3, 3)


def test_a_day_whose_upstream_rules_hold_back_waits_and_the_days_around_it_do_not() -> None:
    marks = {SERIES: dict.fromkeys((day(2), day(3), day(4)), 1)}
    held = {STAGING: {day(3)}}
    assert [(work.tables, work.days) for work in stale_work(marks, {}, SPECS, TODAY, held)] == [
        ((SERIES,), span(4, 4)),
        ((SERIES,), span(2, 2)),
    ]
    # What waits for rules to hold is as it is until then: features that look back on it do not wait with it.
    only = {SERIES: {day(3): 1}, FEATURES: {day(3): 1, day(5): 1}}
    assert [work.days for work in stale_work(only, {}, SPECS, TODAY, held)] == [span(5, 5), span(3, 3)]
    assert stale_work(only, {}, SPECS, TODAY, held | {SERIES: {day(5)}})[0].days == span(3, 3)
