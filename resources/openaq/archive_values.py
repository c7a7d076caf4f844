"""From text fields to typed rows: every rule a field must satisfy, and the reason for each that does not.

Belongs here: ids, time stamps, numbers, coordinates of one archive file's records. Does not belong here: how records
are cut out of bytes (`archive_lines.py`), whether a value is plausible (cleaning decides that, later and visibly).
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from resources.openaq.archive_lines import Lines

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NOT_FINITE = r"(?i)^[+-]?(nan|inf|infinity)$"
IDENTIFIER = r"^[0-9]{1,18}$"
STAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
OFFSET = r"(Z|[+-](0[0-9]|1[0-4]):?[0-5][0-9])$"

CLOCK_CHANGE = timedelta(hours=1)
"""How far a wall-clock stamp may lie outside its file's local day. Where clocks change at midnight (Chile, Azores) the
stamp that ends the day reads 01:00, not 00:00."""

TIMESTAMP = pa.timestamp("us", "UTC")
WALL_CLOCK = pa.timestamp("us")


class BadRecord(NamedTuple):
    """One record that is no row, and the UTC day it is about if its stamp says so."""

    line_no: int
    rule: str
    reason: str
    day: date | None


class Values(NamedTuple):
    """Rows in the staging table's terms, and the records that are none."""

    rows: pa.Table
    offsets: pa.Array
    """Per row: local minus UTC time in microseconds (int64), to the second."""
    bad: tuple[BadRecord, ...]


class _Rule(NamedTuple):
    name: str
    is_kept: pa.ChunkedArray
    reason: Callable[[dict[str, str]], str]


def read(lines: Lines, *, location_id: int, local_day: date) -> Values:
    """The records of a file of `location_id` about `local_day`, typed; the first rule one breaks is its reason."""
    fields = lines.fields
    stamps = _stamps(fields["datetime"])
    wall_clock = _cast(pc.utf8_slice_codeunits(fields["datetime"], 0, 19), pc.is_valid(stamps), WALL_CLOCK)
    begin = datetime.combine(local_day, time())
    end = begin + timedelta(days=1)
    in_day = pc.and_(pc.greater(wall_clock, begin - CLOCK_CHANGE), pc.less_equal(wall_clock, end + CLOCK_CHANGE))
    sensors_id = _numbers(fields["sensors_id"], IDENTIFIER, pa.int64())
    value, lat, lon = (_numbers(fields[name], NUMBER, pa.float64()) for name in ("value", "lat", "lon"))
    rules = (
        _Rule(
            "wrong_location",
            pc.equal(fields["location_id"], str(location_id)),
            lambda field: f"location_id is {field['location_id']!r} in a file of location {location_id}",
        ),
        _Rule(
            "bad_sensor",
            pc.fill_null(pc.greater(sensors_id, 0), False),
            lambda field: f"sensors_id {field['sensors_id']!r} is no positive whole number",
        ),
        _Rule("no_parameter", pc.not_equal(fields["parameter"], ""), lambda field: "parameter is empty"),
        _Rule("no_units", pc.not_equal(fields["units"], ""), lambda field: "units is empty"),
        _Rule(
            "no_offset",
            pc.invert(_matches(fields["datetime"], STAMP + "$")),
            lambda field: f"datetime {field['datetime']!r} has no offset from UTC",
        ),
        _Rule(
            "bad_datetime",
            pc.is_valid(stamps),
            lambda field: f"datetime {field['datetime']!r} is no date and time with an offset from UTC",
        ),
        _Rule(
            "wrong_day",
            pc.fill_null(in_day, False),
            lambda field: f"datetime {field['datetime']!r} lies outside {local_day}, the local day of its file",
        ),
        _Rule(
            "not_finite",
            pc.invert(pc.or_(_matches(fields["value"], NOT_FINITE), pc.fill_null(pc.is_inf(value), False))),
            lambda field: f"value {field['value']!r} is no finite number",
        ),
        _Rule(
            "not_a_number",
            pc.or_(pc.is_valid(value), pc.equal(fields["value"], "")),
            lambda field: f"value {field['value']!r} is no number",
        ),
        _Rule("bad_latitude", _within(fields["lat"], lat, 90.0), lambda field: f"lat {field['lat']!r} is no latitude"),
        _Rule(
            "bad_longitude", _within(fields["lon"], lon, 180.0), lambda field: f"lon {field['lon']!r} is no longitude"
        ),
    )
    is_kept = rules[0].is_kept
    for rule in rules[1:]:
        is_kept = pc.and_(is_kept, rule.is_kept)
    count = len(lines.line_no)
    rows = pa.table(
        {
            "location_id": pa.repeat(pa.scalar(location_id, pa.int64()), count),
            "sensors_id": sensors_id,
            "location_name": _or_null(fields["location"]),
            "parameter": fields["parameter"],
            "units": fields["units"],
            "value": value,
            "datetime_utc": stamps,
            "datetime_local": fields["datetime"],
            "interval_s": pa.nulls(count, pa.int64()),
            "has_flags": pa.nulls(count, pa.bool_()),
            "latitude": lat,
            "longitude": lon,
            "line_no": lines.line_no,
        }
    )
    whole_seconds = pc.cast(pc.floor_temporal(stamps, unit="second"), WALL_CLOCK)
    offsets = pc.cast(pc.subtract(wall_clock, whole_seconds), pa.int64())
    if pc.all(is_kept, min_count=0).as_py():
        return Values(rows, offsets, ())
    return Values(
        rows.filter(is_kept), offsets.filter(is_kept), tuple(_bad_records(lines, rules, is_kept, stamps, in_day))
    )


def _bad_records(
    lines: Lines, rules: tuple[_Rule, ...], is_kept: pa.ChunkedArray, stamps: pa.ChunkedArray, in_day: pa.ChunkedArray
) -> list[BadRecord]:
    found = []
    for index in pc.indices_nonzero(pc.invert(is_kept)).to_pylist():
        field = {name: lines.fields[name][index].as_py() for name in lines.fields.column_names}
        rule = next(rule for rule in rules if not rule.is_kept[index].as_py())
        stamp = stamps[index].as_py() if in_day[index].as_py() else None
        day = (stamp.astimezone(UTC) - timedelta(microseconds=1)).date() if stamp else None
        found.append(BadRecord(lines.line_no[index].as_py(), rule.name, rule.reason(field)[:500], day))
    return found


def _matches(column: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.match_substring_regex(column, pattern)


def _or_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _numbers(column: pa.ChunkedArray, pattern: str, kind: pa.DataType) -> pa.ChunkedArray:
    """The numbers of `column`, null where the text is none."""
    return _cast(column, _matches(column, pattern), kind)


def _within(text: pa.ChunkedArray, number: pa.ChunkedArray, limit: float) -> pa.ChunkedArray:
    """Whether each `number` lies in [-limit, limit] or its text is empty."""
    return pc.or_(pc.fill_null(pc.less_equal(pc.abs(number), limit), False), pc.equal(text, ""))


def _stamps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The instants of `column`, null where the text is none or has no offset."""
    shaped = _matches(column, STAMP + OFFSET)
    try:
        return _cast(column, shaped, TIMESTAMP)
    except pa.ArrowInvalid:
        instants = [
            _instant(text) if ok else None for text, ok in zip(column.to_pylist(), shaped.to_pylist(), strict=True)
        ]
        return pa.chunked_array([pa.array(instants, TIMESTAMP)])


def _cast(column: pa.ChunkedArray, shaped: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return pc.cast(pc.if_else(shaped, column, pa.scalar(None, pa.string())), kind)


def _instant(text: str) -> datetime | None:
    """The instant of a stamp of the right shape, or None if there is no such date or time (30 February, 24:00)."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
