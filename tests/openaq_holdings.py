"""What API v3 answers from the locations and measurements it holds: filters, pages, roll-ups, refusals.

Belongs here: the server's logic as its source and its recorded answers show it, without HTTP. Does not belong here:
keys, limits, faults, sockets (`openaq_stand_in.py`).
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.openaq_shapes import measurement, stamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Held:
    """Locations and raw measurements.

    `nulls` says what becomes of a raw null: "fail" (the whole page is a text/plain 500) or "serve".
    """

    def __init__(
        self, locations: Iterable[dict[str, Any]], series: Mapping[int, Sequence[dict[str, Any]]], *, nulls: str
    ) -> None:
        self.nulls = nulls
        self.locations = {found["id"]: found for found in locations}
        self.series: dict[int, list[dict[str, Any]]] = {}
        self.ends: dict[int, list[datetime]] = {}
        for sensor_id, results in series.items():
            self.put(sensor_id, results)

    def put(self, sensor_id: int, results: Sequence[dict[str, Any]]) -> None:
        """Let a sensor have these raw measurements, in order of time."""
        self.series[sensor_id] = sorted(results, key=_end)
        self.ends[sensor_id] = [_end(result) for result in self.series[sensor_id]]
        for found in self.locations.values():
            ends = [end for sensor in found["sensors"] for end in self.ends.get(sensor["id"], ())]
            if ends and sensor_id in {sensor["id"] for sensor in found["sensors"]}:
                found["datetimeFirst"] = stamp(min(ends), found["timezone"])
                found["datetimeLast"] = stamp(max(ends), found["timezone"])

    def answer(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """The 200 answer of `path` (after /v3), or `Refused`."""
        for pattern, respond in ROUTES:
            if match := re.fullmatch(pattern, path):
                return respond(self, query, *map(int, match.groups()))
        raise Refused(404, {"detail": "Not Found"})

    def zone_of(self, sensor_id: int) -> str:
        for found in self.locations.values():
            if any(sensor["id"] == sensor_id for sensor in found["sensors"]):
                return str(found["timezone"])
        return "UTC"

    def between(self, sensor_id: int, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """The sensor's raw measurements in (datetime_from, datetime_to]; misspelt parameters go unnoticed."""
        zone = self.zone_of(sensor_id)
        start, end = (instant(query, f"datetime_{side}", zone) for side in ("from", "to"))
        if start and end and end <= start:
            told = f"User passed {query['datetime_from']} and {query['datetime_to']}"
            raise Refused(422, f"Date/time from must be older than the date/time to. {told}")
        return [
            result
            for result, at in zip(self.series.get(sensor_id, ()), self.ends.get(sensor_id, ()), strict=True)
            if (start is None or at > start) and (end is None or at <= end)
        ]


def _measurements(held: Held, query: Mapping[str, str], sensor_id: int) -> dict[str, Any]:
    page = _page(held.between(sensor_id, query), query)
    if held.nulls == "fail" and any(result.get("value", 0) is None for result in page["results"]):
        raise Refused(500, "Internal Server Error")
    return page


def _hours(held: Held, query: Mapping[str, str], sensor_id: int) -> dict[str, Any]:
    """Hourly means of the raw rows; `value` is rounded to 3 significant digits, `summary.avg` is not."""
    zone = held.zone_of(sensor_id)
    hours: dict[datetime, list[dict[str, Any]]] = defaultdict(list)
    # The roll-up knows whole hours: the last of them may end after the raw rows that are asked for.
    for result, at in zip(held.series.get(sensor_id, ()), held.ends.get(sensor_id, ()), strict=True):
        hours[EPOCH + timedelta(hours=math.ceil((at - EPOCH) / timedelta(hours=1)))].append(result)
    start, end = (instant(query, f"datetime_{side}", zone) for side in ("from", "to"))
    rows = [
        _hour(at, raw, zone)
        for at, raw in sorted(hours.items())
        if (start is None or at > start) and (end is None or at <= end)
    ]
    return _page(rows, query)


def _hour(at: datetime, raw: Sequence[dict[str, Any]], zone: str) -> dict[str, Any]:
    values = [result["value"] for result in raw if result["value"] is not None]
    told = raw[0]["parameter"]
    mean = sum(values) / len(values) if values else None
    row = measurement(at, mean, parameter=told["name"], units=told["units"], zone=zone)
    row["period"]["label"] = "1hour"
    row["summary"] = {"min": min(values), "max": max(values), "avg": mean, "sd": None} if values else None
    row["value"] = None if mean is None else float(f"{mean:.3g}")
    row["coverage"]["observedCount"] = len(values)
    return row


def _locations(held: Held, query: Mapping[str, str]) -> dict[str, Any]:
    found = [held.locations[id_] for id_ in sorted(held.locations)]
    if query.get("sort_order") == "desc":
        found.reverse()
    if "iso" in query:
        found = [one for one in found if one["country"]["code"] == query["iso"].upper()]
    if "bbox" in query:
        west, south, east, north = (float(degrees) for degrees in query["bbox"].split(","))
        found = [
            one
            for one in found
            if west <= one["coordinates"]["longitude"] <= east and south <= one["coordinates"]["latitude"] <= north
        ]
    return _page(found, query)


def _location(held: Held, query: Mapping[str, str], id_: int) -> dict[str, Any]:
    if id_ not in held.locations:
        raise Refused(404, {"detail": "Location not found"})
    return _page([held.locations[id_]], {})


def _location_sensors(held: Held, query: Mapping[str, str], id_: int) -> dict[str, Any]:
    found = held.locations.get(id_, {"sensors": []})
    return _page(found["sensors"], {"limit": "1000"})


def _location_latest(held: Held, query: Mapping[str, str], id_: int) -> dict[str, Any]:
    found = held.locations.get(id_, {"sensors": []})
    newest = [
        {
            "datetime": held.series[sensor["id"]][-1]["period"]["datetimeTo"],
            "value": held.series[sensor["id"]][-1]["value"],
            "coordinates": found["coordinates"],
            "sensorsId": sensor["id"],
            "locationsId": id_,
        }
        for sensor in found["sensors"]
        if held.series.get(sensor["id"])
    ]
    answer = _page(newest, query)
    answer["meta"]["found"] = len(newest)
    return answer


def _sensor(held: Held, query: Mapping[str, str], id_: int) -> dict[str, Any]:
    for found in held.locations.values():
        for sensor in found["sensors"]:
            if sensor["id"] == id_:
                return _page([sensor], {})
    raise Refused(404, {"detail": "Sensor not found"})


ROUTES: tuple[tuple[str, Callable[..., dict[str, Any]]], ...] = (
    (r"/locations", _locations),
    (r"/locations/(\d+)", _location),
    (r"/locations/(\d+)/sensors", _location_sensors),
    (r"/locations/(\d+)/latest", _location_latest),
    (r"/sensors/(\d+)", _sensor),
    (r"/sensors/(\d+)/measurements", _measurements),
    (r"/sensors/(\d+)/hours", _hours),
)


def _page(rows: Sequence[Any], query: Mapping[str, str]) -> dict[str, Any]:
    limit = _bounded(query, "limit", 100, le=1000)
    number = _bounded(query, "page", 1)
    results = list(rows[(number - 1) * limit : number * limit])
    found = f">{limit}" if len(results) == limit else len(results)
    meta = {"name": "openaq-api", "website": "/", "page": number, "limit": limit, "found": found}
    return {"meta": meta, "results": results}


def _bounded(query: Mapping[str, str], name: str, default: int, le: int | None = None) -> int:
    text = query.get(name, str(default))
    try:
        number = int(text)
    except ValueError:
        # This one is a bare JSON string, Python's notation inside; the one below is an object.
        raise Refused(422, f"[{{'type': 'int_parsing', 'loc': ('query', '{name}'), 'input': '{text}'}}]") from None
    kind, bound = ("less_than_equal", le) if le is not None and number > le else ("greater_than", 0)
    if number < 1 or (le is not None and number > le):
        told = f"Input should be {kind.replace('_', ' ')} {'to ' if kind.endswith('equal') else ''}{bound}"
        raise Refused(422, {"detail": [{"type": kind, "loc": ["query", name], "msg": told, "input": text}]})
    return number


def _end(result: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(result["period"]["datetimeTo"]["utc"])


def instant(query: Mapping[str, str], name: str, zone: str) -> datetime | None:
    """A parameter as the server reads it: without an offset it is the station's local time."""
    if name not in query:
        return None
    try:
        found = datetime.fromisoformat(query[name])
    except ValueError:
        raise Refused(422, f"[{{'type': 'datetime_parsing', 'loc': ('query', '{name}')}}]") from None
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))
