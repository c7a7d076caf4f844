"""Faults planted in a day of sound air quality rows: what rules find of each, against the truth.

Precision is the share of planted rows among those told, recall the share told among those planted; both by row.
`-s` prints them.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assets_pkg.quality.validation import Context, ValidationReport, validate
from resources.openaq.archive_file import parse, to_frame
from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS
from resources.openaq.generator.truth import KINDS, Planted
from schemas.rules import Severity
from schemas.table_rules import rules_of
from schemas.tables import OPENAQ_MEASUREMENTS
from schemas.window import Window
from tests.builders import KNOWN_AT

FIRST, LAST = date(2025, 3, 1), date(2025, 3, 13)
DAY = Window.of_days(date(2025, 3, 10), date(2025, 3, 10))
RULES = rules_of(OPENAQ_MEASUREMENTS)
Positions = set[int]
Fault = Callable[[np.random.Generator, pd.DataFrame], tuple[pd.DataFrame, Positions]]


def read(root: Path, paths: list[str]) -> pd.DataFrame:
    """Rows as they are staged."""
    tables = []
    for number, path in enumerate(sorted(paths), start=1):
        location_id, day = path.rsplit("/", 1)[-1].split(".")[0].split("-")[1:]
        local_day = datetime.strptime(day, "%Y%m%d").date()
        data = (root / path).read_bytes()
        tables.append(parse(data, source_id=number, location_id=int(location_id), local_day=local_day).table)
    rows = to_frame(tables)
    return rows.assign(known_at=pd.Series([KNOWN_AT] * len(rows), dtype="datetime64[us, UTC]"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    root = tmp_path_factory.mktemp("sound")
    truth = generate(root, locations=DEMO_LOCATIONS, first_day=FIRST, last_day=LAST, seed=5, kinds=())
    return read(root, list(truth.files))


def judged(rows: pd.DataFrame, history: pd.DataFrame, window: Window = DAY) -> ValidationReport:
    """The verdict on the rows as those of `window`, after the week before of `history`."""
    stamps = history["datetime_utc"]
    before = history[(stamps > window.start - timedelta(days=7)) & (stamps <= window.start)]
    return validate(
        rows,
        RULES,
        Context(
            now=KNOWN_AT,
            until=window.end,
            identity=OPENAQ_MEASUREMENTS.identity,
            before=before.reset_index(drop=True),
            time_column="datetime_utc",
        ),
    )


def on(rows: pd.DataFrame, window: Window) -> pd.DataFrame:
    return rows[window.holds(rows["datetime_utc"], "right")].reset_index(drop=True)


def told(report: ValidationReport, rules: tuple[str, ...]) -> Positions:
    found = report.violations
    return set(found.loc[found["rule"].isin(rules), "position"].dropna().astype(int))


def some(draw: np.random.Generator, rows: pd.DataFrame, where: pd.Series, share: float = 0.05) -> np.ndarray:
    among = np.flatnonzero(where.to_numpy())
    return np.sort(draw.choice(among, max(3, int(share * len(rows))), replace=False))


def wrong_unit(draw: np.random.Generator, rows: pd.DataFrame) -> tuple[pd.DataFrame, Positions]:
    """A label nobody can convert from: particles are no mixing ratio, and percent is no concentration."""
    at = some(draw, rows, rows["parameter"].isin(["pm25", "pm10"]))
    units = rows["units"].copy()
    units.iloc[at] = draw.choice(["ppm", "ppb", "%"], len(at))
    return rows.assign(units=units), set(at)


def wrong_scale(draw: np.random.Generator, rows: pd.DataFrame) -> tuple[pd.DataFrame, Positions]:
    """Whole sensors divided by 1000, their label as before."""
    sensors = draw.choice(rows["sensors_id"].unique(), 6, replace=False)
    is_hit = rows["sensors_id"].isin(sensors)
    return rows.assign(value=rows["value"].where(~is_hit, rows["value"] / 1000)), set(np.flatnonzero(is_hit))


def coordinates(value: tuple[float, float]) -> Fault:
    def plant(draw: np.random.Generator, rows: pd.DataFrame) -> tuple[pd.DataFrame, Positions]:
        at = some(draw, rows, rows["value"].notna())
        changed = rows.copy()
        changed.loc[at, ["latitude", "longitude"]] = value
        return changed, set(at)

    return plant


def nulls(draw: np.random.Generator, rows: pd.DataFrame) -> tuple[pd.DataFrame, Positions]:
    at = some(draw, rows, rows["value"].notna(), share=0.15)
    changed = rows.copy()
    changed.loc[at, "value"] = np.nan
    return changed, set(at)


def duplicates(draw: np.random.Generator, rows: pd.DataFrame) -> tuple[pd.DataFrame, Positions]:
    again = rows.iloc[some(draw, rows, rows["value"].notna())].assign(source_id=10_000)
    return pd.concat([rows, again], ignore_index=True), set(range(len(rows), len(rows) + len(again)))


def outliers(draw: np.random.Generator, rows: pd.DataFrame) -> tuple[pd.DataFrame, Positions]:
    """Beyond what is plausible: a thousand times too much, as of a value in ng/m³ that is labelled µg/m³."""
    at = some(draw, rows, rows["parameter"].isin(["pm25", "pm10"]) & (rows["value"] > 3))
    changed = rows.copy()
    changed.loc[at, "value"] *= 1000
    return changed, set(at)


def sentinels(draw: np.random.Generator, rows: pd.DataFrame) -> tuple[pd.DataFrame, Positions]:
    at = some(draw, rows, rows["value"].notna())
    changed = rows.copy()
    changed.loc[at, "value"] = draw.choice([-999.0, -9999.0, -99.0, -995.0], len(at))
    return changed, set(at)


def scaled_sentinels(draw: np.random.Generator, rows: pd.DataFrame) -> tuple[pd.DataFrame, Positions]:
    at = some(draw, rows, rows["units"].eq("ppm"))
    changed = rows.copy()
    changed.loc[at, "value"] = draw.choice([-9.999, -0.999], len(at))
    return changed, set(at)


def stuck(draw: np.random.Generator, rows: pd.DataFrame) -> tuple[pd.DataFrame, Positions]:
    """Sensors that show one value for twelve hours."""
    changed, planted = rows.copy(), set()
    for sensor in draw.choice(rows["sensors_id"].unique(), 5, replace=False):
        own = rows.index[rows["sensors_id"].eq(sensor)]
        at = rows.loc[own].sort_values("datetime_utc").index[4:16]
        changed.loc[at, "value"] = 0.5 + rows.loc[at[0], "value"]
        planted |= set(at)
    return changed, planted


def future(draw: np.random.Generator, rows: pd.DataFrame) -> tuple[pd.DataFrame, Positions]:
    """A clock that is a year ahead."""
    at = some(draw, rows, rows["value"].notna())
    changed = rows.copy()
    changed.loc[at, "datetime_utc"] += pd.Timedelta(days=365)
    return changed, set(at)


FAULTS: dict[str, tuple[Fault, tuple[str, ...]]] = {
    "wrong units": (wrong_unit, ("unit_fits_parameter",)),
    "value / 1000": (wrong_scale, ("scale_is_as_before",)),
    "coordinates off the globe": (coordinates((123.0, 500.0)), ("between_-90_and_90", "between_-180_and_180")),
    "coordinates 0, 0": (coordinates((0.0, 0.0)), ("not_at_null_island",)),
    "nulls": (nulls, ("values_are_there",)),
    "duplicates": (duplicates, ("one_value_per_sensor_and_time",)),
    "outliers": (outliers, ("values_are_plausible",)),
    "sentinels": (sentinels, ("no_sentinels",)),
    "scaled sentinels": (scaled_sentinels, ("no_scaled_sentinels",)),
    "stuck": (stuck, ("instruments_are_not_stuck",)),
    "stamps in the future": (future, ("stamps_are_past",)),
}


def test_a_sound_day_raises_no_alarm(sound: pd.DataFrame) -> None:
    report = judged(on(sound, DAY), sound)
    assert [one.rule.name for one in report.failed(Severity.ERROR, Severity.WARNING)] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_planted_is_found_and_nothing_else(fault: str, sound: pd.DataFrame) -> None:
    plant, rules = FAULTS[fault]
    for seed in range(3):
        rows, planted = plant(np.random.default_rng(seed), on(sound, DAY))
        found = told(judged(rows, sound), rules)
        recall, precision = len(found & planted) / len(planted), len(found & planted) / max(len(found), 1)
        print(f"\n{fault}, seed {seed}: {len(planted)} planted, precision {precision:.3f}, recall {recall:.3f}")
        assert recall == 1.0
        assert precision >= 0.95


@pytest.mark.parametrize("column", OPENAQ_MEASUREMENTS.columns)
def test_every_missing_column_is_found(column: str, sound: pd.DataFrame) -> None:
    report = judged(on(sound, DAY).drop(columns=column), sound)
    assert f"missing: {column}" in report.of("schema").message and report.is_blocking


@pytest.fixture(scope="module")
def soiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, list[Planted]]:
    """An archive with every kind of defect at once."""
    root = tmp_path_factory.mktemp("soiled")
    truth = generate(root, locations=DEMO_LOCATIONS, first_day=FIRST, last_day=LAST, seed=5, kinds=KINDS)
    return read(root, list(truth.files)), list(truth.planted)


OF_KIND = {
    "sentinel": ("no_sentinels",),
    "scaled_sentinel": ("no_scaled_sentinels", "values_are_plausible"),
    "impossible": ("values_are_possible",),
    "stuck": ("instruments_are_not_stuck",),
    "duplicate": ("one_value_per_sensor_and_time",),
}
"""Defects of the generator that a rule on raw rows is about; gaps, spikes and late rows are others' matter."""


@pytest.mark.parametrize("kind", OF_KIND)
def test_defects_of_an_archive_with_all_kinds_at_once_are_told_apart(
    kind: str, soiled: tuple[pd.DataFrame, list[Planted]]
) -> None:
    rows, planted = soiled
    wanted, found = 0, Counted()
    for window in (Window.of_days(day, day) for day in days()):
        part = on(rows, window)
        report = judged(part, rows, window)
        of_day = told(report, OF_KIND[kind])
        true = set(truth_of(kind, part, planted))
        wanted += len(true)
        found.add(of_day, true, set(truth_of(None, part, planted)))
    print(f"\n{kind}: {wanted} planted, recall {found.hits / wanted:.3f}, precision {found.precision:.3f}")
    assert wanted and found.hits / wanted >= 0.9
    assert found.precision >= 0.95


class Counted:
    """Rows told, over some days. A row told of another defect is no false alarm: it is planted as well."""

    hits = false = 0

    def add(self, of_day: Positions, true: Positions, any_kind: Positions) -> None:
        self.hits += len(of_day & true)
        self.false += len(of_day - any_kind)

    @property
    def precision(self) -> float:
        return self.hits / max(self.hits + self.false, 1)


def days() -> Iterator[date]:
    return (date(2025, 3, number) for number in range(4, 12))


def truth_of(kind: str | None, rows: pd.DataFrame, planted: list[Planted]) -> Iterator[int]:
    """Positions of the rows of the defects of a kind (None: of any). Of a run that a day cuts, the part in the day
    counts where it is long enough to be one by itself."""
    for defect in planted:
        if kind not in (None, defect.kind):
            continue
        own = rows["datetime_utc"].between(defect.first, defect.last)
        if defect.sensors_id is not None:
            own &= rows["sensors_id"].eq(defect.sensors_id)
        at = np.flatnonzero(own.to_numpy())
        if defect.kind == "duplicate":
            at = at[1:]
        if kind == "stuck" and len(at) <= 6:
            continue
        yield from map(int, at)
