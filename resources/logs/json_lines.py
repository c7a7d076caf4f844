"""A log record as one line: JSON for programs, words for people.

Both say what the record is about where that is known: run, asset, partition or window, step. Dagster tells by the
record's `dagster_meta`; others by `extra={"run_id": …, "asset": …, "partition": …}`.

Belongs here: fields and their order. Does not belong here: where lines go (`rotating_file.py`).
"""

import json
import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from resources.logs.redaction import redacted

MOST_CHARACTERS = 32_000
"""Of a message, and of a trace; a frame that breaks its model can say megabytes."""

ABOUT = ("run_id", "job", "asset", "partition", "window", "step")
PARTITION = "dagster/partition"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


class JsonLines(logging.Formatter):
    """time (ISO 8601, UTC), level, logger, message, what it is about, process, exception."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        meta: Mapping[str, Any] = getattr(record, "dagster_meta", None) or {}
        told = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": self._shown(meta.get("orig_message") or record.getMessage()),
            **about(record),
            "process": record.process,
        }
        if trace := self._trace(record, meta):
            told["exception"] = self._shown(trace)
        return json.dumps(told, ensure_ascii=False, default=str)

    def _trace(self, record: logging.LogRecord, meta: Mapping[str, Any]) -> str | None:
        if record.exc_info:
            return self.formatException(record.exc_info)
        data = getattr(meta.get("dagster_event"), "event_specific_data", None)
        error = getattr(data, "error", None)
        if error is None:
            step = getattr(data, "first_step_failure_event", None)
            error = getattr(getattr(step, "event_specific_data", None), "error", None)
        return None if error is None else str(error.to_string())

    def _shown(self, text: str) -> str:
        left = len(text) - MOST_CHARACTERS
        cut = f"{text[:MOST_CHARACTERS]} … ({left} characters more)" if left > 0 else text
        return redacted(cut, self._secrets)


class Words(logging.Formatter):
    """One readable line: time, level, logger, message, and in brackets what it is about."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        known = " ".join(f"{name}={value}" for name, value in about(record).items())
        line = (
            f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}{f' [{known}]' if known else ''}"
        )
        return redacted(line, self._secrets)


def about(record: logging.LogRecord) -> dict[str, str]:
    """What the record is about, of `ABOUT`; what is not known is left out."""
    meta: Mapping[str, Any] = getattr(record, "dagster_meta", None) or {}
    event, step, tags = meta.get("dagster_event"), meta.get("step_key"), meta.get("job_tags") or {}
    key = getattr(event, "asset_key", None)
    first, last = tags.get(RANGE_START), tags.get(RANGE_END)
    found = {
        "run_id": meta.get("run_id"),
        "job": meta.get("job_name"),
        "asset": ".".join(key.path) if key is not None else _asset_of(step),
        "partition": getattr(event, "partition", None) or tags.get(PARTITION) or (first if first == last else None),
        "window": f"{first} to {last}" if first != last else None,
        "step": step,
    }
    own = {name: getattr(record, name, None) for name in ABOUT}
    return {name: str(value) for name in ABOUT if (value := own[name] or found[name])}


def _asset_of(step: str | None) -> str | None:
    """The table that the step of this key fills: Dagster joins an asset's key by two underscores."""
    if not step:
        return None
    # In a process that runs steps it is loaded already; in others it would take a second for nothing.
    from schemas.tables import TABLES

    table = step.replace("__", ".", 1)
    return table if table in TABLES else None


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
