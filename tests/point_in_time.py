"""The point-in-time join in plain Python, row by row: what every way of computing it is compared with."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pandas as pd


def looked_up(
    entities: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    keys: Sequence[str],
    features: Sequence[str],
    ttl: timedelta | None,
    time: str = "t",
    created: str | None = "created",
    known_by_then: bool = False,
) -> list[tuple[object, ...]]:
    """Per entity row (columns `keys`, `event_timestamp`) the features of its newest row; None: there is none."""
    by_key: dict[tuple[object, ...], list[Mapping[str, object]]] = {}
    for row in rows.to_dict("records"):
        by_key.setdefault(tuple(row[name] for name in keys), []).append(row)
    found = []
    for asked in entities.to_dict("records"):
        moment, best = asked["event_timestamp"], None
        for row in by_key.get(tuple(asked[name] for name in keys), ()):
            if row[time] > moment or (ttl and row[time] < moment - ttl):
                continue
            if known_by_then and created and row[created] > moment:
                continue
            rank = (row[time], row[created]) if created else (row[time],)
            if best is None or rank > best[0]:
                best = (rank, row)
        found.append(tuple(plain(best[1][name]) if best else None for name in features))
    return found


def plain(value: object) -> object:
    """One name for all that is missing."""
    return None if pd.isna(value) else value


def rows_of(frame: pd.DataFrame, columns: Sequence[str]) -> list[tuple[object, ...]]:
    """The frame's rows, missing values as None."""
    return [tuple(plain(value) for value in row) for row in frame[list(columns)].itertuples(index=False)]
