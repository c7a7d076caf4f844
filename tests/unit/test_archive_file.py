"""Parsing one archive file: both dialects exactly, every bad line kept with its reason, nothing of a damaged file."""

import csv
import gzip
import io
import math
import zlib
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resources.errors import CorruptSource
from resources.openaq.archive_file import LARGEST_FILE, Parsed, gunzip, parse, to_frame
from resources.openaq.fetched import ROW_COLUMNS
from schemas.base import conform
from schemas.staging import OpenaqMeasurements

DAY = date(2026, 4, 15)
HEADER = "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value"
GOOD = "8118,23534,New Delhi-8118,2026-04-15T01:00:00+05:30,28.63576,77.22445,pm25,µg/m³,71.0"


def parsed(text: str | bytes, *, location_id: int = 8118, day: date = DAY) -> Parsed:
    content = text.encode() if isinstance(text, str) else text
    return parse(gzip.compress(content), source_id=7, location_id=location_id, local_day=day)


def with_field(name: str, value: str) -> str:
    fields = GOOD.split(",")
    fields[HEADER.split(",").index(name)] = value
    return ",".join(fields)


def test_the_documented_old_dialect(shared_data: Path) -> None:
    excerpt = shared_data / "openaq/archive_excerpts/location-2178-20230222_docs_excerpt_unquoted.csv"
    result = parsed(excerpt.read_bytes(), location_id=2178, day=date(2023, 2, 22))
    assert (result.rows_read, result.rejects) == (14, ())
    assert result.rows["value"].tolist()[:3] == [14.0, 4.0, 7.0]
    assert result.rows["datetime_utc"][0] == pd.Timestamp("2023-02-22T08:00:00Z")
    assert result.rows["datetime_local"][0] == "2023-02-22T01:00:00-07:00"
    assert result.rows["line_no"].tolist() == list(range(2, 16))
    assert result.offsets == (timedelta(hours=-7), timedelta(hours=-7))


def test_the_quoted_dialect_with_crlf(shared_data: Path) -> None:
    excerpt = shared_data / "openaq/archive_excerpts/location-8118-20260415_excerpt_quoted_crlf.csv"
    result = parsed(excerpt.read_bytes())
    row = result.rows.iloc[0]
    assert (result.rows_read, result.rejects) == (2, ())
    assert (row["sensors_id"], row["location_name"], row["parameter"]) == (23534, "New Delhi-8118", "pm25")
    assert (row["units"], row["value"], row["latitude"], row["longitude"]) == ("µg/m³", 71.0, 28.63576, 77.22445)
    assert row["datetime_utc"] == pd.Timestamp("2026-04-14T19:30:00Z")


def test_rows_satisfy_the_staging_model() -> None:
    rows = parsed(f"{HEADER}\n{GOOD}\n").rows
    assert list(rows.columns) == ROW_COLUMNS
    whole = rows.assign(known_at=pd.Series([pd.Timestamp("2026-04-20", tz="UTC")]).astype("datetime64[us, UTC]"))
    OpenaqMeasurements.validate(whole)
    pd.testing.assert_frame_equal(whole, conform(whole, OpenaqMeasurements))


def test_no_rows_have_the_same_types_as_some() -> None:
    some, none = parsed(f"{HEADER}\n{GOOD}\n").rows, parsed(f"{HEADER}\n").rows
    assert len(none) == 0
    assert none.dtypes.equals(some.dtypes)
    assert to_frame([]).dtypes.equals(some.dtypes)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n", "\n\r\n\n"])
def test_a_file_with_a_header_only_has_no_rows(ending: str) -> None:
    result = parsed(HEADER + ending)
    assert (result.rows_read, len(result.rows), result.rejects, result.offsets) == (0, 0, (), None)


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert parsed(f"\ufeff{HEADER}\n{GOOD}\n").rows_read == 1


@pytest.mark.parametrize(("name", "variant"), [("sensors_id", "sensor_id"), ("units", "unit")])
def test_the_documentation_s_column_names_are_accepted(name: str, variant: str) -> None:
    assert parsed(f"{HEADER.replace(name, variant)}\n{GOOD}\n").rows[name].notna().all()


def test_columns_are_found_by_name_and_unknown_ones_are_tolerated() -> None:
    names, fields = HEADER.split(","), GOOD.split(",")
    header, line = ",".join(["new", *reversed(names)]), ",".join(["?", *reversed(fields)])
    pd.testing.assert_frame_equal(parsed(f"{header}\n{line}\n").rows, parsed(f"{HEADER}\n{GOOD}\n").rows)


@pytest.mark.parametrize("name", HEADER.split(","))
def test_a_missing_column_is_named(name: str) -> None:
    header = ",".join(column for column in HEADER.split(",") if column != name)
    with pytest.raises(CorruptSource, match=rf"lacks {name}\b"):
        parsed(f"{header}\n{GOOD}\n")


def test_a_repeated_column_is_refused() -> None:
    with pytest.raises(CorruptSource, match="value more than once"):
        parsed(f"{HEADER},value\n{GOOD},1\n")


@pytest.mark.parametrize("content", ["", "\n", "<html>", "a;b;c\n", '"never closed\n', b"\xff\xfe\n"])
def test_a_file_without_a_header_is_corrupt(content: str | bytes) -> None:
    with pytest.raises(CorruptSource, match="header"):
        parsed(content)


def test_an_empty_value_is_null() -> None:
    rows = parsed("\n".join([HEADER, with_field("value", ""), with_field("lat", ""), with_field("location", "")])).rows
    assert math.isnan(rows["value"][0])
    assert math.isnan(rows["latitude"][1])
    assert rows["location_name"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("line", "rule", "reason"),
    [
        (GOOD.rsplit(",", 1)[0], "field_count", "8 fields instead of 9"),
        (GOOD + ",extra", "field_count", "10 fields instead of 9"),
        ("total", "field_count", "1 fields"),
        (with_field("location_id", "8119"), "wrong_location", "'8119' in a file of location 8118"),
        (with_field("location_id", "-8118"), "wrong_location", "'-8118'"),
        (with_field("sensors_id", "-1"), "bad_sensor", "'-1'"),
        (with_field("sensors_id", "0"), "bad_sensor", "'0'"),
        (with_field("sensors_id", "1e5"), "bad_sensor", "'1e5'"),
        (with_field("sensors_id", "99999999999999999999"), "bad_sensor", "no positive whole number"),
        (with_field("parameter", ""), "no_parameter", "parameter is empty"),
        (with_field("units", ""), "no_units", "units is empty"),
        (with_field("datetime", "2026-04-15T01:00:00"), "no_offset", "no offset"),
        (with_field("datetime", ""), "bad_datetime", "''"),
        (with_field("datetime", "2026-02-30T01:00:00+05:30"), "bad_datetime", "2026-02-30"),
        (with_field("datetime", "2026-04-15T24:00:00+05:30"), "bad_datetime", "24:00"),
        (with_field("datetime", "2026-04-15T23:59:60+05:30"), "bad_datetime", "23:59:60"),
        (with_field("datetime", "15/04/2026 01:00+05:30"), "bad_datetime", "15/04/2026"),
        (with_field("datetime", "2026-04-15T01:00:00+25:00"), "bad_datetime", "25:00"),
        (with_field("datetime", "2026-04-17T01:00:00+05:30"), "wrong_day", "outside 2026-04-15"),
        (with_field("value", "abc"), "not_a_number", "'abc'"),
        (with_field("value", "1_000"), "not_a_number", "'1_000'"),
        (with_field("value", "٣"), "not_a_number", "'٣'"),
        (with_field("value", " 1"), "not_a_number", "' 1'"),
        (with_field("value", "NaN"), "not_finite", "'NaN'"),
        (with_field("value", "-inf"), "not_finite", "'-inf'"),
        (with_field("value", "1e400"), "not_finite", "'1e400'"),
        (with_field("lat", "91"), "bad_latitude", "'91'"),
        (with_field("lon", "-180.5"), "bad_longitude", "'-180.5'"),
        (with_field("lon", "east"), "bad_longitude", "'east'"),
        (with_field("location", '"open'), "quoting", "not readable as CSV"),
        (with_field("location", '"a"b'), "quoting", "not readable as CSV"),
        (with_field("location", "a\0b"), "nul_character", "NUL"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_bad_line_is_rejected_and_its_neighbours_are_intact(line: str, rule: str, reason: str, end: str) -> None:
    result = parsed(end.join([HEADER, GOOD, line, GOOD, ""]))
    assert result.rows["line_no"].tolist() == [2, 4]
    assert result.rows["value"].tolist() == [71.0, 71.0]
    assert result.rows_read == 3
    (reject,) = result.rejects
    assert (reject.line_no, reject.rule, reject.source_id) == (3, rule, 7)
    assert reason in reject.reason
    assert reject.raw == line.replace("\0", "\\x00")


def test_an_undecodable_line_is_kept_escaped() -> None:
    result = parsed(b"\n".join([HEADER.encode(), GOOD.encode(), b"8118,\xff", GOOD.encode()]))
    (reject,) = result.rejects
    assert (reject.line_no, reject.rule, reject.raw) == (3, "encoding", "8118,\\xff")
    assert result.rows["line_no"].tolist() == [2, 4]


def test_a_huge_bad_line_is_cut_and_told_by_its_hash() -> None:
    (reject,) = parsed(f"{HEADER}\n{'x' * 1_000_000}\n").rejects
    assert len(reject.raw) < 5_000
    assert "sha256" in reject.raw


def test_empty_lines_are_no_rows_but_count_as_lines() -> None:
    assert parsed(f"{HEADER}\n\n{GOOD}\n\r\n{GOOD}\n\n").rows["line_no"].tolist() == [3, 5]


def test_a_quoted_field_may_hold_a_line_break() -> None:
    broken = with_field("location", '"New\nDelhi"')
    result = parsed(f"{HEADER}\n{broken}\n{GOOD}\n")
    assert result.rows["location_name"].tolist() == ["New\nDelhi", "New Delhi-8118"]
    assert result.rows["line_no"].tolist() == [2, 4]


def test_an_unclosed_quote_costs_one_line_only() -> None:
    quoted = ",".join(f'"{field}"' for field in GOOD.split(","))
    lines = [HEADER, *[quoted] * 3, quoted.removesuffix('"'), *[quoted] * 50]
    result = parsed("\n".join(lines))
    assert [reject.line_no for reject in result.rejects] == [5]
    assert len(result.rows) == 53


def test_a_reject_is_accounted_to_its_own_day_if_its_stamp_is_readable() -> None:
    late = with_field("datetime", "2026-04-15T02:00:00+05:30").replace("71.0", "?")
    noon = with_field("datetime", "2026-04-15T12:00:00+05:30").replace("71.0", "?")
    last = with_field("datetime", "2026-04-16T00:00:00+05:30").replace("71.0", "?")
    rejects = parsed("\n".join([HEADER, late, noon, last, "unreadable"])).rejects
    assert [reject.day.day for reject in rejects] == [14, 15, 15, 15]


def test_midnight_utc_belongs_to_the_day_that_ends_there() -> None:
    midnight = with_field("datetime", "2026-04-15T05:30:00+05:30").replace("71.0", "?")
    assert parsed(f"{HEADER}\n{midnight}\n").rejects[0].day == date(2026, 4, 14)


def test_the_stamp_behind_a_change_of_clocks_at_midnight_is_of_its_file() -> None:
    # On 6 September 2026 Chile's clocks go from 24:00 to 01:00.
    line = with_field("datetime", "2026-09-06T01:00:00-03:00")
    result = parsed(f"{HEADER}\n{line}\n", day=date(2026, 9, 5))
    assert result.rows["datetime_utc"].tolist() == [pd.Timestamp("2026-09-06T04:00:00Z")]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-04-15T01:00:00+05:45", "2026-04-14T19:15:00Z"),
        ("2026-04-15T01:00:00+14:00", "2026-04-14T11:00:00Z"),
        ("2026-04-15T01:00:00-12:00", "2026-04-15T13:00:00Z"),
        ("2026-04-15T01:00:00Z", "2026-04-15T01:00:00Z"),
        ("2026-04-15 01:00:00+0530", "2026-04-14T19:30:00Z"),
        ("2026-04-15T01:00:00.123456-03:30", "2026-04-15T04:30:00.123456Z"),
    ],
)
def test_stamps_are_converted_exactly_and_kept_as_received(text: str, instant: str) -> None:
    rows = parsed(f"{HEADER}\n{with_field('datetime', text)}\n").rows
    assert rows["datetime_utc"].tolist() == [pd.Timestamp(instant)]
    assert rows["datetime_local"].tolist() == [text]


def test_sound_stamps_beside_an_impossible_date_are_read_alike() -> None:
    result = parsed("\n".join([HEADER, GOOD, with_field("datetime", "2026-02-30T01:00:00+05:30")]))
    assert result.rows["datetime_utc"].tolist() == [pd.Timestamp("2026-04-14T19:30:00Z")]
    assert result.rows.dtypes.equals(parsed(f"{HEADER}\n{GOOD}\n").rows.dtypes)


DATA = gzip.compress(f"{HEADER}\n{GOOD}\n".encode() * 50)


@pytest.mark.parametrize("length", [0, 1, 5, 11, len(DATA) // 2, len(DATA) - 9, len(DATA) - 8, len(DATA) - 1])
def test_a_truncated_file_is_corrupt(length: int) -> None:
    with pytest.raises(CorruptSource, match="cut off"):
        gunzip(DATA[:length])


@pytest.mark.parametrize("junk", [b"\0", b"junk", b"\x1f", DATA[:20]])
def test_anything_behind_the_end_is_corrupt(junk: bytes) -> None:
    with pytest.raises(CorruptSource):
        gunzip(DATA + junk)


@pytest.mark.parametrize("data", [b"location_id,sensors_id\n", b"PK\x03\x04", b"<html></html>", zlib.compress(b"x")])
def test_what_is_not_gzip_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptSource, match="no gzip data"):
        gunzip(data)


def test_a_wrong_checksum_is_corrupt() -> None:
    with pytest.raises(CorruptSource):
        gunzip(DATA[:-8] + bytes(4) + DATA[-4:])


def test_members_of_one_file_are_joined() -> None:
    assert gunzip(gzip.compress(b"one") + gzip.compress(b"two")) == b"onetwo"


def test_a_gzip_bomb_is_refused() -> None:
    bomb = gzip.compress(bytes(64 * 2**20))
    with pytest.raises(CorruptSource, match="bomb"):
        gunzip(bomb)


def test_a_crowd_of_members_is_refused() -> None:
    with pytest.raises(CorruptSource, match="members"):
        gunzip(gzip.compress(b"") * 1_000)


def test_an_oversized_file_is_refused_unread() -> None:
    with pytest.raises(CorruptSource, match="more than an archive file may have"):
        gunzip(bytes(LARGEST_FILE + 1))


@given(data=st.binary(max_size=2_000))
def test_arbitrary_bytes_are_corrupt_and_nothing_else(data: bytes) -> None:
    with pytest.raises(CorruptSource):
        parse(data, source_id=1, location_id=1, local_day=DAY)


LINES = st.lists(
    st.one_of(
        st.just(GOOD),
        st.text('",\r\n\0 8aé.-', max_size=40),
        st.builds(
            lambda at, what: GOOD[:at] + what + GOOD[at:], st.integers(0, len(GOOD)), st.text('",x\r', max_size=3)
        ),
    ),
    max_size=8,
)


@given(body=st.binary(max_size=300), lines=LINES)
@example(body=b"", lines=[GOOD.replace("New", '"New'), GOOD.replace("New", '"New')])
@example(body=b"", lines=['8118,",",'])
@example(body=b"\xef\xbb\xbf", lines=[])
@example(body=b"", lines=["8\n\r\r"])
def test_every_line_behind_a_header_is_a_row_or_a_reject(body: bytes, lines: list[str]) -> None:
    content = "\n".join([HEADER, *lines, ""]).encode() + body
    result = parsed(content)
    assert result.rows_read == len(result.rows) + len(result.rejects)
    taken = sorted([*result.rows["line_no"], *(reject.line_no for reject in result.rejects)])
    assert len(set(taken)) == len(taken)
    physical = content.split(b"\n")
    if b'"' not in content:
        assert taken == [no for no, line in enumerate(physical, start=1) if no > 1 and line.strip(b"\r")]
    assert all(reject.raw.encode() and "\0" not in reject.raw for reject in result.rejects)


@given(lines=LINES)
def test_the_fast_and_the_exact_reader_agree(lines: list[str]) -> None:
    """An empty line behind the header forces the exact reader and moves every line by one."""
    fast = parsed("\n".join([HEADER, *lines]))
    exact = parsed("\n".join([HEADER, "", *lines]))
    assert [(r.line_no + 1, r.rule, r.raw) for r in fast.rejects] == [(r.line_no, r.rule, r.raw) for r in exact.rejects]
    pd.testing.assert_frame_equal(fast.rows.assign(line_no=fast.rows["line_no"] + 1), exact.rows)


OFFSETS = st.integers(-12 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
RECORDS = st.lists(
    st.tuples(
        st.integers(1, 10**17),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
        st.integers(1, 86_400),
        OFFSETS,
        st.floats(-90, 90),
        st.floats(-180, 180),
        st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1, max_size=8),
        st.sampled_from(["µg/m³", "ppm", "ppb", "%", "c", "particles/cm³"]),
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    ),
    max_size=20,
)


@given(records=RECORDS, is_quoted=st.booleans())
def test_what_was_written_is_read(records: list[tuple], is_quoted: bool) -> None:
    """Python's own CSV writer, in both of the archive's dialects, against the parser."""
    text = io.StringIO(newline="")
    quoting = csv.QUOTE_NONNUMERIC if is_quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(text, quoting=quoting, lineterminator="\r\n" if is_quoted else "\n")
    writer.writerow(HEADER.split(","))
    expected = []
    for sensors_id, name, second, zone, lat, lon, parameter, units, value in records:
        name = name.replace("\r", " ").replace("\n", " ")
        stamp = datetime(DAY.year, DAY.month, DAY.day, tzinfo=zone) + timedelta(seconds=second)
        shown = "" if value is None else repr(value)
        writer.writerow([8118, sensors_id, name, stamp.isoformat(), repr(lat), repr(lon), parameter, units, shown])
        expected.append(
            (sensors_id, name or None, parameter, units, value, stamp.astimezone(UTC), stamp.isoformat(), lat, lon)
        )
    result = parsed(text.getvalue())
    names = ["sensors_id", "location_name", "parameter", "units", "value", "datetime_utc", "datetime_local", "latitude"]
    found = result.rows[[*names, "longitude"]].astype(object)
    assert result.rejects == ()
    assert list(found.where(found.notna(), None).itertuples(index=False, name=None)) == expected
