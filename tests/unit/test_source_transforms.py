"""Which version of a row stands at the end of a day: the same whatever the order, the batches and the cut."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_pkg.staging.source_transforms import (
    Snapshots,
    accounts,
    column_changes,
    event_rows,
    on_days,
    snapshot_rows,
)
from schemas.source_datasets.delivery import DATASET
from schemas.window import Window, midnight

TEAMS, ACTIVITIES = DATASET.table("delivery_teams"), DATASET.table("delivery_activities")
FIRST, DAYS = date(2025, 3, 3), 6
DAY = timedelta(days=1)
KNOWN_AT = datetime(2025, 6, 1, tzinfo=UTC)
Version = tuple[str, int, str]
"""Key, hours after the beginning of the first day, name."""


def rows_of(versions: list[Version]) -> pd.DataFrame:
    stamps = [pd.Timestamp(midnight(FIRST) + timedelta(hours=hours)) for _, hours, _ in versions]
    return pd.DataFrame(
        {
            "team_id": pd.array([key for key, _, _ in versions], dtype="string[pyarrow]"),
            "name": pd.array([name for _, _, name in versions], dtype="string[pyarrow]"),
            "updated_at": pd.Series(stamps, dtype="datetime64[us, UTC]"),
            "source_id": 1,
            "line_no": range(1, len(versions) + 1),
        }
    )


def taken(versions: list[Version], window: Window, batches: int = 1, state: pd.DataFrame | None = None) -> Snapshots:
    snapshots = Snapshots(TEAMS, window, state)
    for number in range(batches):
        if part := versions[number::batches]:
            snapshots.add(rows_of(part))
    return snapshots


def told(snapshots: Snapshots) -> list[tuple[date, list[tuple[str, str]], int, int, int]]:
    return [
        (
            one.day,
            list(zip(one.rows["team_id"], one.rows["name"], strict=True)),
            one.carried,
            one.stamped,
            one.superseded,
        )
        for one in snapshots.by_day()
    ]


def expected(versions: list[Version], days: list[date]) -> list[tuple[date, list[tuple[str, str]]]]:
    """The same, slowly."""
    found = []
    for day in days:
        hours = (day - FIRST).days * 24 + 24
        newest: dict[str, tuple[int, str]] = {}
        for key, at, name in versions:
            if at <= hours and at >= newest.get(key, (-(10**9), ""))[0]:
                newest[key] = (at, name)
        found.append((day, sorted((key, name) for key, (_, name) in newest.items())))
    return found


WHOLE = Window.of_days(FIRST, FIRST + (DAYS - 1) * DAY)
some_versions = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(-60, DAYS * 24 + 30), st.sampled_from("xyz")),
    max_size=25,
    unique_by=lambda version: version[:2],
)


@given(versions=some_versions)
def test_a_snapshot_holds_the_newest_version_of_each_key_not_after_its_end(versions: list[Version]) -> None:
    assert [one[:2] for one in told(taken(versions, WHOLE))] == expected(versions, WHOLE.days())


@given(versions=some_versions, order=st.randoms(use_true_random=False), batches=st.integers(1, 5))
def test_neither_the_order_nor_the_batches_matter(versions: list[Version], order: object, batches: int) -> None:
    shuffled = list(versions)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert told(taken(shuffled, WHOLE, batches)) == told(taken(versions, WHOLE))


@given(versions=some_versions, cut=st.integers(1, DAYS - 1), keeps_state=st.booleans())
def test_the_window_may_be_cut_anywhere(versions: list[Version], cut: int, keeps_state: bool) -> None:
    first, second = Window(WHOLE.start, WHOLE.start + cut * DAY), Window(WHOLE.start + cut * DAY, WHOLE.end)
    left = taken(versions, first)
    days = told(left)
    state = list(taken(versions, first).by_day())[-1].rows if keeps_state else None
    later = [version for version in versions if version[1] > cut * 24] if keeps_state else versions
    assert days + told(taken(later, second, state=state)) == told(taken(versions, WHOLE))


@given(versions=some_versions)
def test_every_version_is_accounted_for(versions: list[Version]) -> None:
    for one in taken(versions, WHOLE).by_day():
        hours = ((one.day - FIRST).days * 24, (one.day - FIRST).days * 24 + 24)
        assert one.stamped == sum(hours[0] < at <= hours[1] for _, at, _ in versions)
        assert one.carried + one.stamped == len(one.rows) + one.superseded
        assert one.superseded >= 0


@pytest.mark.parametrize("names", [("x", "y"), ("y", "x")])
def test_rows_that_agree_in_key_and_stamp_give_the_same_row_whatever_their_order(names: tuple[str, str]) -> None:
    (day,) = taken([("a", 1, names[0]), ("a", 1, names[1])], Window.of_days(FIRST, FIRST)).by_day()
    (again,) = taken([("a", 1, names[1]), ("a", 1, names[0])], Window.of_days(FIRST, FIRST)).by_day()
    assert day.rows["name"].tolist() == again.rows["name"].tolist()


def test_what_newer_versions_replace_is_let_go_while_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets_pkg.staging.source_transforms.COMPACT_AFTER", 50)
    snapshots, versions = Snapshots(TEAMS, WHOLE), [("a", hours, "x") for hours in range(-900, 100)]
    for start in range(0, len(versions), 20):
        snapshots.add(rows_of(versions[start : start + 20]))
        assert sum(map(len, snapshots._kept)) < 150
    assert [len(one.rows) for one in snapshots.by_day()] == [1] * DAYS


def test_a_snapshot_is_stamped_with_the_end_of_its_day() -> None:
    snapshots = list(taken([("a", 1, "x")], WHOLE).by_day())
    rows = snapshot_rows(snapshots, TEAMS, KNOWN_AT)
    TEAMS.staging.validate(rows)
    assert rows["snapshot_at"].tolist() == [pd.Timestamp(midnight(day) + DAY) for day in WHOLE.days()]


def test_no_rows_at_all_still_satisfy_the_model() -> None:
    TEAMS.staging.validate(snapshot_rows(list(taken([], WHOLE).by_day()), TEAMS, KNOWN_AT))
    ACTIVITIES.staging.validate(event_rows([], ACTIVITIES, KNOWN_AT))


def test_rejects_go_to_the_day_of_their_moment_else_to_the_last() -> None:
    moments = [
        midnight(FIRST),
        midnight(FIRST) + DAY,
        midnight(FIRST) + timedelta(hours=30),
        None,
        midnight(FIRST) + 99 * DAY,
    ]
    rejects = pd.DataFrame(
        {
            "rule": list("abcde"),
            "reason": "",
            "raw": "{}",
            "source_id": 1,
            "line_no": 1,
            "moment": pd.Series(moments, dtype="datetime64[us, UTC]"),
        }
    )
    found = on_days(rejects, [FIRST, FIRST + DAY])
    assert dict(zip(found["rule"], found["day"], strict=True)) == {
        "b": FIRST,
        "c": FIRST + DAY,
        "d": FIRST + DAY,
        "e": FIRST + DAY,
    }
    assert on_days(rejects.iloc[:0], [FIRST]).empty


def test_accounts_add_up_and_have_every_day() -> None:
    table = accounts(
        [FIRST, FIRST + DAY],
        arrived={FIRST: 5},
        loaded={FIRST: 3},
        duplicate={FIRST: 1},
        quarantined={},
        filtered={FIRST: 2},
    )
    assert table["read"].tolist() == [6, 0]
    assert table["day"].tolist() == [FIRST, FIRST + DAY]


def test_columns_are_compared_by_name_and_type() -> None:
    changes = column_changes({"a": "text", "b": "bigint"}, {"b": "text", "c": "text"})
    assert changes
    assert changes.told == "added: c; removed: a; of another type: b: bigint -> text"
    assert not column_changes({"a": "text"}, {"a": "text"})
