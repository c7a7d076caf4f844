"""Rows of text become rows of types exactly, or are put aside with a reason; none is lost."""

import json
import math
import re
import struct
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resources.errors import ConfigurationError, LedgerNotClosed
from resources.landing.columns import casting
from resources.landing.columns.casting import Plan, cast
from resources.landing.columns.inference import infer
from resources.landing.columns.kinds import Convention, Kind
from resources.landing.columns.sql_text import identifier
from tests.unit.landing.builders import all_converted, converted, rows_of, text_table

INT64 = st.integers(-(2**63), 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
INSTANTS = st.datetimes(datetime(1678, 1, 2), datetime(2261, 12, 30)).map(lambda at: at.replace(tzinfo=UTC))
NUMERAL = re.compile(r"[ \t\r\n]*[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?[ \t\r\n]*")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo")


def bits(value: float) -> bytes:
    return struct.pack("d", value)


@given(st.lists(st.from_regex(NUMERAL, fullmatch=True), min_size=1, max_size=200))
@example(["2.4703282292062327e-324", "2.4703282292062328e-324", "1.7976931348623158e308", "-0", "9007199254740993"])
def test_numbers_are_those_of_python(cells: list[str]) -> None:
    columns = [[cell.replace(".", sign) for cell in cells] for sign in ".,"]
    found = all_converted(
        [(column, Kind.NUMBER, Convention(decimal=sign)) for column, sign in zip(columns, ".,", strict=True)]
    )
    for column, conversion in zip(columns, found, strict=True):
        for written_so, cell, value in zip(column, cells, conversion.values, strict=True):
            if math.isinf(float(cell)):
                assert value is None
                assert conversion.rules[written_so] == "not_finite"
            else:
                assert bits(value) == bits(float(cell))


def decimals(bound: int, places: int) -> st.SearchStrategy[str]:
    return st.decimals(-bound, bound, places=places).map(lambda number: f"{number:f}")


def written(number: str, convention: Convention) -> str:
    """A plain number as the convention has it."""
    sign, digits = ("-", number[1:]) if number.startswith("-") else ("", number)
    whole, _, fraction = digits.partition(".")
    if convention.thousands:
        whole = f"{int(whole):,}".replace(",", convention.thousands)
    text = whole + ((convention.decimal or ".") + fraction if fraction else "")
    text = f"{text} {convention.currency}" if convention.currency else text
    text = f"{text} %" if convention.percent else text
    if convention.native_digits:
        text = text.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
    if sign and convention.parentheses:
        return f"({text})"
    if sign and convention.trailing_minus:
        return f"{text}-"
    return sign + text


WAYS = [
    Convention(decimal="."),
    Convention(decimal=","),
    Convention(decimal=".", thousands=","),
    Convention(decimal=",", thousands="."),
    Convention(decimal=",", thousands=" "),
    Convention(decimal=".", thousands="'", currency="CHF"),
    Convention(decimal=",", thousands=".", currency="€", trailing_minus=True),
    Convention(decimal=".", currency="$", parentheses=True),
    Convention(decimal=".", percent=True),
    Convention(decimal=".", native_digits=True),
    Convention(decimal=",", thousands=" ", currency="kr", parentheses=True),
]


@settings(max_examples=15)
@given(st.lists(INT64, min_size=1, max_size=100))
def test_integers_written_in_any_way_come_back(numbers: list[int]) -> None:
    for found in all_converted([([written(str(n), way) for n in numbers], Kind.INTEGER, way) for way in WAYS]):
        assert (found.values, found.rules) == (numbers, {})


@settings(max_examples=15)
@given(st.lists(decimals(10**20, 4), min_size=1, max_size=100))
def test_decimals_written_in_any_way_come_back(numbers: list[str]) -> None:
    for found in all_converted([([written(n, way) for n in numbers], Kind.NUMBER, way) for way in WAYS]):
        assert list(map(bits, found.values)) == [bits(float(number)) for number in numbers]


@settings(max_examples=15)
@given(st.lists(decimals(10**9, 2), min_size=1, max_size=100))
def test_a_way_of_writing_is_found_and_comes_back(numbers: list[str]) -> None:
    """Two cells that leave no doubt (and show each sign) are among them; inferred and cast, the values are the same."""
    numbers = [*numbers, "-1234567.25", "0.75"]
    with text_table(*([written(number, way) for number in numbers] for way in WAYS)) as table:
        guesses = infer(table)
        assert {found.kind for found in guesses} == {Kind.NUMBER}
        cast(table, [Plan(name=g.column, source=g.column, kind=g.kind, convention=g.convention) for g in guesses])
        for row, number in zip(rows_of(table, "rows_typed"), numbers, strict=True):
            assert set(row[2:]) == {float(number)}


@given(st.lists(FINITE, min_size=1, max_size=200))
def test_doubles_come_back_bit_by_bit(numbers: list[float]) -> None:
    found = converted([repr(number) for number in numbers], Kind.NUMBER)
    assert list(map(bits, found.values)) == list(map(bits, numbers))


STAMPS = {
    "%Y-%m-%dT%H:%M:%S.%fZ": Convention(zoned=True),
    "%Y-%m-%d %H:%M:%S.%f": Convention(),
    "%Y/%m/%d %H:%M:%S,%f": Convention(),
    "%Y%m%dT%H%M%S.%fZ": Convention(zoned=True),
    "%d.%m.%Y %H:%M:%S.%f": Convention(date_order="DMY"),
    "%m/%d/%Y %I:%M:%S.%f %p": Convention(date_order="MDY"),
    "%d %b %Y %H:%M:%S.%f GMT": Convention(date_order="DMY", zoned=True),
    "%A, %B %d, %Y %H:%M:%S.%f UTC": Convention(date_order="MDY", zoned=True),
}


@settings(max_examples=15)
@given(st.lists(INSTANTS, min_size=1, max_size=100))
def test_instants_in_any_form_come_back(instants: list[datetime]) -> None:
    columns = [([at.strftime(form) for at in instants], Kind.TIMESTAMP, way) for form, way in STAMPS.items()]
    for found in all_converted(columns):
        assert (found.values, found.rules) == (instants, {})


@settings(max_examples=20)
@given(st.lists(st.tuples(INSTANTS, st.integers(-12 * 60, 14 * 60)), min_size=1, max_size=100))
def test_each_stamp_may_have_an_offset_of_its_own(stamps: list[tuple[datetime, int]]) -> None:
    cells = [at.astimezone(timezone(timedelta(minutes=offset))).isoformat() for at, offset in stamps]
    found = converted(cells, Kind.TIMESTAMP, Convention(zoned=True))
    assert (found.values, found.rules) == ([at for at, _ in stamps], {})


NEAR_CHANGES = st.one_of(
    st.datetimes(datetime(1975, 1, 1), datetime(2036, 1, 1)),
    st.builds(
        lambda at, minutes: at + timedelta(minutes=minutes),
        st.sampled_from(
            [datetime(2026, 3, 29, 2), datetime(2025, 10, 26, 2), datetime(2025, 11, 2, 1), datetime(2025, 4, 6, 2)]
        ),
        st.integers(-180, 180),
    ),
)


@settings(max_examples=20)
@given(st.lists(NEAR_CHANGES, min_size=1, max_size=100))
def test_local_times_are_those_of_the_zone(times: list[datetime]) -> None:
    """A local time is an instant if exactly one instant shows it on the zone's clocks."""
    iso, german = ([at.strftime(form) for at in times] for form in ("%Y-%m-%d %H:%M:%S.%f", "%d.%m.%Y %H:%M:%S.%f"))
    columns = [(iso, Kind.TIMESTAMP, Convention(timezone=zone)) for zone in ZONES]
    columns.append((german, Kind.TIMESTAMP, Convention(timezone=ZONES[0], date_order="DMY")))
    for zone, column, found in zip([*ZONES, ZONES[0]], columns, all_converted(columns), strict=True):
        for cell, local, value in zip(column[0], times, found.values, strict=True):
            first, second = (local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1))
            exists = first.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local
            if first == second:
                assert value == first
            else:
                assert value is None
                assert found.rules[cell] == ("ambiguous local time" if exists else "nonexistent local time")


def test_an_offset_settles_a_time_the_clocks_show_twice() -> None:
    found = converted(
        ["2025-10-26 02:30:00+02:00", "2025-10-26 02:30:00+01:00"], Kind.TIMESTAMP, Convention(timezone="Europe/Berlin")
    )
    assert found.values == [datetime(2025, 10, 26, 0, 30, tzinfo=UTC), datetime(2025, 10, 26, 1, 30, tzinfo=UTC)]


def test_a_day_begins_with_its_first_instant_even_where_midnight_is_skipped() -> None:
    zone = Convention(timezone="America/Sao_Paulo")
    found = converted(["2018-11-04", "2018-11-04 00:00"], Kind.TIMESTAMP, zone)
    assert found.values == [datetime(2018, 11, 4, 3, tzinfo=UTC), None]
    assert found.rules == {"2018-11-04 00:00": "nonexistent local time"}


def test_a_cell_may_name_its_zone() -> None:
    cells = ["2026-07-01 12:00 Europe/Berlin", "2026-03-29 02:30 Europe/Berlin", "2026-07-01 12:00 Mars/Olympus"]
    found = converted([*cells, "2026-07-01T12:00+02:00[Europe/Berlin]"], Kind.TIMESTAMP)
    noon = datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert found.values == [noon, None, None, noon]
    assert found.rules == {cells[1]: "nonexistent local time", cells[2]: "unknown time zone"}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2026-01-31T24:00:00", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-01-31 24:00", datetime(2026, 2, 1, tzinfo=UTC)),
        ("31.01.2026 24:00:00", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00.1234569", datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)),
        ("1678-01-01", datetime(1678, 1, 1, tzinfo=UTC)),
        ("2261-12-31T23:59:59.999999", datetime(2261, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_edges_of_days_and_years_are_instants(cell: str, expected: datetime) -> None:
    order = "DMY" if cell[2] == "." else None
    found = converted([cell], Kind.TIMESTAMP, Convention(date_order=order))
    assert (found.values, found.rules) == ([expected], {})


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("2026-02-30", "not a timestamp"),
        ("2026-13-01", "not a timestamp"),
        ("2026-01-01 24:00:01", "not a timestamp"),
        ("2026-01-01 25:00", "not a timestamp"),
        ("2026-01-01T00:00+15:00", "not a timestamp"),
        ("2026-01-01T00:00+01:75", "not a timestamp"),
        ("epoch", "not a timestamp"),
        ("infinity", "not a timestamp"),
        ("2026", "not a timestamp"),
        ("12:30", "not a timestamp"),
        ("0001-01-01", "year outside 1678 to 2261"),
        ("1677-12-31 23:59:59", "year outside 1678 to 2261"),
        ("2262-01-01", "year outside 1678 to 2261"),
        ("9999-12-31", "year outside 1678 to 2261"),
        ("2026-01-01 12:59:60", "no leap second at this time"),
    ],
)
def test_what_is_no_instant_says_why(cell: str, rule: str) -> None:
    found = converted([cell], Kind.TIMESTAMP)
    assert (found.values, found.rules) == ([None], {cell: rule})


@pytest.mark.parametrize("cell", ["2016-12-31T23:59:60Z", "2016-12-31 23:59:60.5", "2017-01-01T05:29:60+05:30"])
def test_a_leap_second_is_kept_and_noted(cell: str) -> None:
    found = converted([cell], Kind.TIMESTAMP)
    assert found.values == [datetime(2016, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]
    assert found.rules == {cell: "leap second"}


def test_a_zoned_column_has_no_place_for_a_stamp_without_a_zone() -> None:
    found = converted(["2026-01-01T00:00Z", "2026-01-01T00:00"], Kind.TIMESTAMP, Convention(zoned=True))
    assert found.rules == {"2026-01-01T00:00": "no time zone"}


@settings(max_examples=15)
@given(st.lists(st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)), min_size=1, max_size=100))
def test_counts_since_1970_come_back(moments: list[datetime]) -> None:
    instants = [at.replace(tzinfo=UTC) for at in moments]
    micros = [(at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for at in instants]
    for unit, factor in (("us", 1), ("ns", 1_000)):
        found = converted([str(count * factor) for count in micros], Kind.TIMESTAMP, Convention(epoch_unit=unit))
        assert (found.values, found.rules) == (instants, {})
    seconds = [at.replace(microsecond=0) for at in instants]
    for unit, factor in (("s", 1), ("ms", 1_000)):
        cells = [str(count // 1_000_000 * factor) for count in micros]
        assert converted(cells, Kind.TIMESTAMP, Convention(epoch_unit=unit)).values == seconds


def test_a_count_in_another_unit_is_bad() -> None:
    found = converted(["1700000000", "1700000000000"], Kind.TIMESTAMP, Convention(epoch_unit="s"))
    assert found.values == [datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), None]
    assert found.rules == {"1700000000000": "not a count of s within 1990 to 2100"}


@pytest.mark.parametrize(
    ("kind", "cell", "rule"),
    [
        (Kind.INTEGER, "12a", "not an integer"),
        (Kind.INTEGER, "5.0", "not an integer"),
        (Kind.INTEGER, "1e3", "not an integer"),
        (Kind.INTEGER, "1_000", "not an integer"),
        (Kind.INTEGER, "0x1F", "not an integer"),
        (Kind.INTEGER, "9223372036854775808", "beyond 64 bits"),
        (Kind.INTEGER, "nan", "nan"),
        (Kind.NUMBER, "1,5", "not a number"),
        (Kind.NUMBER, "1_000.5", "not a number"),
        (Kind.NUMBER, "inf", "not_finite"),
        (Kind.NUMBER, "-Infinity", "not_finite"),
        (Kind.NUMBER, "1e400", "not_finite"),
        (Kind.NUMBER, "NaN", "nan"),
        (Kind.BOOLEAN, "yes", "not a boolean"),
        (Kind.TEXT, "a\x00b", "NUL character"),
    ],
)
def test_a_bad_cell_is_null_and_recorded(kind: Kind, cell: str, rule: str) -> None:
    found = converted([cell, ""], kind)
    assert (found.values, list(found.rules.values())) == ([None, None], [rule])
    assert "\x00" not in next(iter(found.rules))


@pytest.mark.parametrize(
    "cell", ["12,34", "1,2345", "1,234,56", ",123", "1.234,5", "--5", "5-", "(5)", "$5", "5%", "- "]
)
def test_numbers_of_another_convention_are_not_guessed_at(cell: str) -> None:
    assert converted([cell], Kind.NUMBER, Convention(thousands=",")).values == [None]


def test_declared_integers_may_have_zeros_in_front() -> None:
    assert converted(["007", "+5", " 6 "], Kind.INTEGER).values == [7, 5, 6]


def test_missing_words_are_null_and_not_recorded() -> None:
    convention = Convention(missing_words=("NA", "-999"))
    for kind, values in ((Kind.INTEGER, [None, None, 5, None]), (Kind.TEXT, [None, None, "5", " "])):
        found = converted(["NA", "-999", "5", " "], kind, convention)
        assert (found.values, found.rules) == (values, {})


def test_text_is_kept_as_it_is() -> None:
    cells = ["=cmd|'/c calc'!A0", " +1", "-5", "@x", "\ttab", "NA", "e\u0301", "1" * 100_000]
    assert converted(cells, Kind.TEXT).values == cells


def two_columns(rows: list[tuple[str | None, str | None]], *plans: Plan) -> tuple[list, list, list]:
    with text_table([left for left, _ in rows], [right for _, right in rows]) as table:
        casted = cast(table, plans)
        assert casted.rows + casted.rejects == len(rows)
        return tuple(rows_of(table, name) for name in ("rows_typed", "rejects_read", "bad_cells"))


def test_a_row_has_one_reject_with_all_its_reasons() -> None:
    typed, rejects, bad = two_columns(
        [("1", "2.5"), ('x"', "y"), ("3", None)],
        Plan(name="quantity", source="c0", kind=Kind.INTEGER),
        Plan(name="price", source="c1", kind=Kind.NUMBER),
    )
    assert typed == [(2, 1, 1, 2.5), (4, 1, 3, None)]
    reason = 'quantity: not an integer: "x\\""; price: not a number: "y"'
    assert rejects == [(3, 1, '["x\\"","y"]', "quantity: not an integer", reason)]
    assert bad == []


def test_a_bad_cell_of_a_rejected_row_is_part_of_the_reject_only() -> None:
    _, rejects, bad = two_columns(
        [("x", "y"), ("1", "y")],
        Plan(name="a", source="c0", kind=Kind.INTEGER, on_failure="cell"),
        Plan(name="b", source="c1", kind=Kind.TEXT, categories=("z",)),
    )
    assert [(row[0], row[3]) for row in rejects] == [(2, "b: not a category"), (3, "b: not a category")]
    assert rejects[0][4] == 'a: not an integer: "x"; b: not a category: "y"'
    assert bad == []


def test_a_cell_costs_its_row_where_null_is_not_allowed() -> None:
    plan = Plan(name="a", source="c0", kind=Kind.INTEGER, nullable=False, on_failure="cell")
    _, rejects, _ = two_columns([("x", None), (None, None), ("nan", None), ("", None)], plan)
    assert [row[3] for row in rejects] == ["a: not an integer", "a: null", "a: nan", "a: null"]


def test_nan_and_leap_seconds_never_cost_a_row() -> None:
    typed, rejects, bad = two_columns(
        [("nan", "2016-12-31T23:59:60Z")],
        Plan(name="a", source="c0", kind=Kind.NUMBER),
        Plan(name="b", source="c1", kind=Kind.TIMESTAMP),
    )
    assert (len(typed), rejects, [row[1:4] for row in bad]) == (
        1,
        [],
        [("a", "nan", "nan"), ("b", "2016-12-31T23:59:60Z", "leap second")],
    )


@pytest.mark.parametrize("on_failure", ["row", "cell"])
def test_ranges_and_categories_hold_exactly(on_failure: str) -> None:
    top = 2**53 + 1
    plan = Plan(name="a", source="c0", kind=Kind.INTEGER, minimum=-0.5, maximum=float(2**53), on_failure=on_failure)
    typed, rejects, bad = two_columns([("0", None), ("-1", None), (str(top), None), (str(top - 1), None)], plan)
    assert [row[2] for row in typed if row[2] is not None] == [0, top - 1]
    assert [row[3].removeprefix("a: ") for row in rejects or bad] == ["below minimum", "above maximum"]
    assert bool(bad) is (on_failure == "cell")


def test_an_infinite_bound_is_none() -> None:
    found = converted(["-1e308", "5"], Kind.NUMBER, minimum=-math.inf, maximum=math.inf)
    assert found.values == [-1e308, 5.0]


def test_names_and_categories_are_never_sql() -> None:
    name = "a\"; DROP TABLE rows_read; --'%s{}"
    plan = Plan(name=name, source="c0", kind=Kind.TEXT, categories=("it's", "ok"))
    with text_table(["it's", "o"], ["", ""]) as table:
        casted = cast(table, [plan])
        assert (casted.rows, casted.rejects) == (1, 1)
        query = f"SELECT {identifier(name)} FROM rows_typed"  # noqa: S608
        assert table.connection.execute(query).fetchall() == [("it's",)]


def test_a_column_the_file_does_not_have_is_null() -> None:
    typed, _, _ = two_columns([("1", "2")], Plan(name="gone", source=None, kind=Kind.TIMESTAMP))
    assert typed == [(2, 1, None)]


def test_a_table_may_have_no_columns_at_all() -> None:
    with text_table(["1", "2"]) as table:
        assert cast(table, []).rows == 2
        assert [row[0] for row in rows_of(table, "rows_typed")] == [2, 3]


def test_physical_names_like_those_of_the_cells_are_told_apart() -> None:
    plans = [Plan(name=name, source=source, kind=Kind.INTEGER) for name, source in (("c1", "c0"), ("c0", "c1"))]
    typed, rejects, _ = two_columns([("1", "2"), ("x", "4")], *plans)
    assert typed == [(2, 1, 1, 2)]
    assert [row[3] for row in rejects] == ["c1: not an integer"]


def test_a_long_cell_is_cut_in_the_reason_and_whole_in_raw() -> None:
    _, rejects, _ = two_columns([("x" * 1_000, "")], Plan(name="a", source="c0", kind=Kind.INTEGER))
    assert json.loads(rejects[0][2]) == ["x" * 1_000, ""]
    assert rejects[0][4] == f'a: not an integer: "{"x" * 200}"'


def test_every_row_may_be_rejected() -> None:
    with text_table(["x"] * 5_000) as table:
        casted = cast(table, [Plan(name="a", source="c0", kind=Kind.INTEGER)])
        assert (casted.rows, casted.rejects, casted.bad_cells) == (0, 5_000, 0)


def test_rows_that_share_a_line_are_cast_each_for_itself() -> None:
    with text_table(["1", "x", "3"], line_nos=[7, 7, 7]) as table:
        casted = cast(table, [Plan(name="a", source="c0", kind=Kind.INTEGER)])
        assert (casted.rows, casted.rejects) == (2, 1)


def test_a_lost_row_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(casting, "_rejects_statement", lambda _: "SELECT 1")
    with text_table(["1", "x"]) as table, pytest.raises(LedgerNotClosed, match="2 rows were read, but 1 are typed"):
        cast(table, [Plan(name="a", source="c0", kind=Kind.INTEGER)])


def test_plans_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="only numbers"):
        Plan(name="a", source="c0", kind=Kind.TEXT, minimum=0)
    with text_table(["1"]) as table:
        for plans, message in (
            ([Plan(name="a", source="c1", kind=Kind.TEXT)], "no c1"),
            ([Plan(name=name, source="c0", kind=Kind.TEXT) for name in "aA"], "more than one is called a"),
            ([Plan(name="line_no", source="c0", kind=Kind.TEXT)], "line_no"),
        ):
            with pytest.raises(ConfigurationError, match=message):
                cast(table, plans)


ANY_CELL = st.none() | st.text(max_size=8) | st.integers().map(str) | st.floats().map(repr) | st.datetimes().map(str)
ANY_PLAN = st.builds(
    Plan,
    name=st.just("v"),
    source=st.just("c0"),
    kind=st.sampled_from([Kind.TEXT, Kind.BOOLEAN, Kind.TIMESTAMP, Kind.INTEGER, Kind.NUMBER]),
    nullable=st.booleans(),
    categories=st.none() | st.just(("1", "2026-01-01", "x")),
    on_failure=st.sampled_from(["row", "cell"]),
)


@given(st.lists(ANY_CELL, min_size=1, max_size=60), ANY_PLAN)
def test_every_row_is_typed_or_rejected_and_every_cell_accounted_for(cells: list[str | None], plan: Plan) -> None:
    with text_table(cells) as table:
        casted = cast(table, [plan])
        typed, rejects, bad = (rows_of(table, name) for name in ("rows_typed", "rejects_read", "bad_cells"))
        assert sorted(row[0] for row in [*typed, *rejects]) == list(range(2, len(cells) + 2))
        assert (casted.rows, casted.rejects, casted.bad_cells) == (len(typed), len(rejects), len(bad))
        noted = {row[0] for row in bad}
        for line, _, value in typed:
            cell = cells[line - 2]
            is_missing = (
                cell is None
                or cell == ""
                or (plan.kind is not Kind.TEXT and not cell.strip(" \t\r\n\xa0\u2007\u2009\u202f\ufeff"))
            )
            assert (value is not None) or is_missing or line in noted
