"""Visitors of museums: a dataset that comes without anybody having declared it.

Belongs here: its files. Does not belong here: a declaration; `schemas/file_datasets/` has none on purpose.
"""

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from resources.landing.samples.truth import SampleFile
from resources.landing.samples.written_lines import WrittenLines, delimited

DATASET_NAME = "museum_visitors"
HEADER = ("date", "museum", "visitors", "temperature C", "note")
NEW_COLUMN = "guided tours"
DAYS_PER_FILE = 30
CLOSED_WEEKDAY = 0
"""Monday: the day stands in the file, with no visitors."""
RAINY_C = 8


class Museum(NamedTuple):
    """`visitors` on a working day."""

    name: str
    visitors: int


MUSEUMS = (Museum("Natural History", 640), Museum("Musée d’Art", 410), Museum("Ships & Harbours", 180))


def visitor_files(last_day: date, seed: int) -> list[SampleFile]:
    """Two files about the sixty days up to `last_day`; the second one has a column more.

    What `truth` says holds once the dataset is declared.
    """
    second = last_day - timedelta(days=DAYS_PER_FILE - 1)
    first = second - timedelta(days=DAYS_PER_FILE)
    return [
        _file(first, seed, HEADER, "A dataset nobody declared: it waits until somebody does, and a proposal is made."),
        _file(second, seed, (*HEADER, NEW_COLUMN), f"The same dataset with a new column, {NEW_COLUMN!r}."),
    ]


def _file(first_day: date, seed: int, header: tuple[str, ...], note: str) -> SampleFile:
    lines = WrittenLines()
    lines.skip("header", delimited(header, "\t"))
    for number in range(DAYS_PER_FILE):
        day = first_day + timedelta(days=number)
        for cells in _day(day, seed):
            lines.row(delimited(cells[: len(header)], "\t"))
    return SampleFile(
        dataset=DATASET_NAME,
        name=f"visitors_{first_day:%Y%m%d}.tsv",
        content=lines.encoded(),
        truth=lines.truth,
        note=note,
    )


def _day(day: date, seed: int) -> list[list[str]]:
    """One line per museum, with the new column last."""
    draw = np.random.default_rng([seed, day.toordinal(), len(MUSEUMS)])
    season = -float(np.cos(2 * np.pi * (day.timetuple().tm_yday - 20) / 365.25))
    celsius = 11 + 9 * season + 2.5 * float(draw.normal())
    found = []
    for museum in MUSEUMS:
        crowd = museum.visitors * (1.7 if day.weekday() >= 5 else 1.0) * (1.2 if celsius < RAINY_C else 1.0)
        is_closed = day.weekday() == CLOSED_WEEKDAY
        visitors = 0 if is_closed else int(draw.poisson(crowd))
        note = "closed" if is_closed else "school classes" if visitors > 1.1 * crowd else ""
        found.append([day.isoformat(), museum.name, str(visitors), f"{celsius:.1f}", note, str(visitors // 150)])
    return found
