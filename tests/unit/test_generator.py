"""The generator: the same bytes every time, plausible air, and an answer key that is true of every file."""

import gzip
import hashlib
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

from resources.openaq import archive_layout
from resources.openaq.archive_file import Parsed, parse, to_frame
from resources.openaq.archive_locations import SIDECAR
from resources.openaq.generator.defects import SCALED_SENTINELS, SENTINELS
from resources.openaq.generator.files import deliver_late
from resources.openaq.generator.generate import generate
from resources.openaq.generator.places import DEMO_LOCATIONS, per_unit
from resources.openaq.generator.truth import KINDS, Planted, Truth
from resources.openaq.location import Location
from schemas.datasets import OPENAQ
from schemas.features import POLLUTANTS

FIRST, LAST = date(2026, 9, 1), date(2026, 10, 10)
Archive = tuple[Path, Truth]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    root = tmp_path_factory.mktemp("archive")
    return root, generate(root, locations=DEMO_LOCATIONS, first_day=FIRST, last_day=LAST, seed=1)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    root = tmp_path_factory.mktemp("sound")
    return rows_of(root, generate(root, locations=DEMO_LOCATIONS, first_day=FIRST, last_day=LAST, seed=1, kinds=()))


@pytest.fixture(scope="module")
def rows(archive: Archive) -> pd.DataFrame:
    return rows_of(*archive)


def rows_of(root: Path, truth: Truth) -> pd.DataFrame:
    return to_frame([parse_at(root, path).table for path in truth.files])


def parse_at(root: Path, path: str) -> Parsed:
    location_id, day = path.rsplit("/", 1)[-1].split(".")[0].split("-")[1:]
    return parse(
        (root / path).read_bytes(),
        source_id=1,
        location_id=int(location_id),
        local_day=datetime.strptime(day, "%Y%m%d").date(),
    )


def digests(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def by_sensor(rows: pd.DataFrame) -> dict[int | None, pd.DataFrame]:
    return {None: rows[:0], **dict(iter(rows.groupby("sensors_id")))}


def shown(sensors: dict[int | None, pd.DataFrame], defect: Planted) -> pd.DataFrame:
    """What a sensor shows in the hours of a defect."""
    rows = sensors[defect.sensors_id]
    return rows[rows["datetime_utc"].between(defect.first, defect.last)]


def hours(defect: Planted) -> int:
    return round((defect.last - defect.first) / timedelta(hours=1)) + 1


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        generate(tmp_path / name, locations=DEMO_LOCATIONS[:2], first_day=FIRST, last_day=FIRST, seed=seed)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


def test_a_longer_range_has_the_same_rows_in_the_shared_days(tmp_path: Path, sound: pd.DataFrame) -> None:
    truth = generate(
        tmp_path,
        locations=DEMO_LOCATIONS[:2],
        first_day=date(2026, 10, 1),
        last_day=date(2026, 10, 25),
        seed=1,
        kinds=(),
    )
    key = ["sensors_id", "datetime_utc"]
    both = rows_of(tmp_path, truth).merge(sound, on=key, suffixes=("", "_before"))
    assert len(both) == 2 * 6 * 24 * 10
    assert (both["value"] == both["value_before"]).all()


def test_files_lie_where_the_archive_keeps_them(archive: Archive) -> None:
    root, truth = archive
    assert set(digests(root)) == {*truth.files, archive_layout.SIDECAR}
    assert archive_layout.file_path(90_000_001, FIRST) == (
        "records/csv.gz/locationid=90000001/year=2026/month=09/location-90000001-20260901.csv.gz"
    )
    assert archive_layout.file_path(90_000_001, FIRST) in truth.files


def test_older_days_are_unquoted_and_newer_ones_quoted_with_crlf(archive: Archive) -> None:
    root, _ = archive
    old, new = (
        gzip.decompress((root / archive_layout.file_path(90_000_002, day)).read_bytes()).decode().split("\n")
        for day in (FIRST, LAST)
    )
    assert old[0] == "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value"
    assert '"' not in "".join(old)
    assert new[0] == '"location_id","sensors_id","location","datetime","lat","lon","parameter","units","value"\r'
    assert new[1].startswith('90000002,910000201,"Synthetic New York-90000002","2026-10-10T')
    assert all(line.endswith('"\r') for line in new[:-1])


def test_the_answer_key_counts_every_line(archive: Archive) -> None:
    root, truth = archive
    for path, file in truth.files.items():
        found = parse_at(root, path)
        assert (len(found.rows), len(found.rejects)) == (file.rows, file.malformed), path


def test_every_kind_is_planted(archive: Archive) -> None:
    _, truth = archive
    counts = Counter(defect.kind for defect in truth.planted)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) >= 8


def test_kinds_can_be_chosen(tmp_path: Path) -> None:
    truth = generate(
        tmp_path, locations=DEMO_LOCATIONS[:3], first_day=FIRST, last_day=LAST, seed=1, kinds=("spike", "late")
    )
    assert {defect.kind for defect in truth.planted} == {"spike", "late"}


def test_sound_series_have_every_hour_once_and_no_defect(sound: pd.DataFrame) -> None:
    sensors = sound.sort_values("datetime_utc").groupby("sensors_id")
    assert (sensors["datetime_utc"].diff().dropna() == pd.Timedelta(hours=1)).all()
    days = (LAST - FIRST).days + 1
    assert sensors.size().between(24 * days - 1, 24 * days + 1).all()
    assert (sound["value"] > 0).all()
    assert not sound["value"].isin(OPENAQ.sentinels).any()
    run = sensors["value"].transform(lambda values: values.groupby((values.diff() != 0).cumsum()).transform("size"))
    assert run.max() < 4


def in_base_units(rows: pd.DataFrame) -> pd.Series:
    pairs = rows[["parameter", "units"]].drop_duplicates().itertuples(index=False, name=None)
    factors = {(parameter, units): per_unit(parameter, units) for parameter, units in pairs}
    return rows["value"] / [factors[pair] for pair in zip(rows["parameter"], rows["units"], strict=True)]


def test_magnitudes_and_correlations_are_those_of_air(sound: pd.DataFrame) -> None:
    base = sound.assign(base=in_base_units(sound))
    for place in DEMO_LOCATIONS:
        here = base[base["location_id"] == place.id]
        table = here.pivot_table(index="datetime_utc", columns="parameter", values="base")
        assert set(table.columns) == set(POLLUTANTS)
        for name, level in place.levels.items():
            assert 0.4 * level < table[name].median() < 2 * level, (place.name, name)
        assert table["pm25"].rank().corr(table["pm10"].rank()) > 0.7
        assert table["no2"].rank().corr(table["o3"].rank()) < -0.1
        assert (table["pm10"] > table["pm25"]).all()
        local = table.index.tz_convert(place.timezone)
        assert table["o3"].groupby(local.hour).mean().idxmax() in range(10, 17)
        assert table["no2"].groupby(local.dayofweek >= 5).mean().pipe(lambda mean: mean[False] > mean[True])
        assert table["pm25"].pipe(np.log).autocorr(1) > 0.7


def test_one_gas_in_two_units_is_one_concentration(sound: pd.DataFrame) -> None:
    no2 = sound[(sound["location_id"] == 90_000_006) & (sound["parameter"] == "no2")]
    table = no2.assign(base=in_base_units(no2)).pivot_table(index="datetime_utc", columns="units", values="base")
    assert set(table.columns) == {"ppb", "µg/m³"}
    assert np.allclose(table["ppb"], table["µg/m³"], atol=0.01)
    assert per_unit("no2", "µg/m³") == pytest.approx(1.880, abs=0.001)
    assert per_unit("o3", "µg/m³") == pytest.approx(1.962, abs=0.001)


def test_planted_values_are_in_the_files(archive: Archive, rows: pd.DataFrame, sound: pd.DataFrame) -> None:
    _, truth = archive
    ours, theirs = by_sensor(rows), by_sensor(sound)
    for defect in truth.planted:
        found, before = shown(ours, defect), shown(theirs, defect)
        values, where = found["value"], (defect.kind, defect.path, defect.first)
        match defect.kind:
            case "sentinel":
                assert values.isin(SENTINELS).all(), where
                assert len(values) == hours(defect)
            case "scaled_sentinel":
                assert values.isin(SCALED_SENTINELS).all(), where
                assert (found["units"] == "ppm").all()
            case "small_negative":
                assert values.between(-15, 0, inclusive="neither").all(), where
            case "impossible":
                assert values.item() > OPENAQ.measures[found["parameter"].item()].possible[1], where
            case "spike":
                assert values.item() > 5 * before["value"].item(), where
                base = in_base_units(found).item() * per_unit(found["parameter"].item(), "µg/m³")
                assert base < OPENAQ.measures[found["parameter"].item()].valid[1], where
            case "stuck":
                assert len(values) == hours(defect) >= 8, where
                assert values.nunique() == 1, where
            case "short_gap" | "long_gap" | "late":
                assert values.empty, where
                assert len(before) == hours(defect)
            case "duplicate":
                assert len(values) == 2, where
                assert values.nunique() == 1, where
            case "unit_mix":
                assert len(values) == hours(defect), where
                assert set(found["units"]).isdisjoint(before["units"]), where
                assert np.allclose(in_base_units(found), in_base_units(before), rtol=0.02, atol=0.02), where
            case "missing_day":
                stamps = rows.loc[rows["location_id"] == defect.location_id, "datetime_utc"]
                assert not stamps.between(defect.first, defect.last).any(), where


def test_nothing_else_differs_from_the_sound_series(archive: Archive, rows: pd.DataFrame, sound: pd.DataFrame) -> None:
    _, truth = archive
    key = ["sensors_id", "datetime_utc"]
    both = sound.merge(rows, on=key, how="left", suffixes=("", "_shown"))
    changed = both[(both["value"] != both["value_shown"]) | (both["units"] != both["units_shown"])]
    explained = np.zeros(len(changed), dtype=bool)
    for defect in truth.planted:
        ours = (
            changed["sensors_id"] == defect.sensors_id
            if defect.sensors_id
            else changed["location_id"] == defect.location_id
        )
        explained |= (ours & changed["datetime_utc"].between(defect.first, defect.last)).to_numpy()
    assert len(changed) > 1_000
    assert explained.all()


def test_malformed_lines_and_duplicates_are_at_their_line(archive: Archive, rows: pd.DataFrame) -> None:
    root, truth = archive
    for defect in truth.of("malformed"):
        assert defect.path is not None
        rules = {reject.line_no: reject.rule for reject in parse_at(root, defect.path).rejects}
        assert rules[defect.line_no] == defect.rule
    sensors = by_sensor(rows)
    for defect in truth.of("duplicate"):
        assert shown(sensors, defect)["line_no"].tolist() == [defect.line_no - 1, defect.line_no]


def test_late_rows_arrive_once_and_complete_the_series(tmp_path: Path) -> None:
    arguments = {"locations": DEMO_LOCATIONS[:2], "first_day": FIRST, "last_day": LAST, "seed": 3}
    truth = generate(tmp_path / "late", **arguments, kinds=("late",))
    whole = rows_of(tmp_path / "whole", generate(tmp_path / "whole", **arguments, kinds=()))
    before, digest = rows_of(tmp_path / "late", truth), digests(tmp_path / "late")
    changed = deliver_late(tmp_path / "late", truth)
    after = rows_of(tmp_path / "late", truth)
    key = ["sensors_id", "datetime_utc"]
    assert len(before) < len(whole)
    assert len(after) == len(whole)
    merged = after.merge(whole, on=[*key, "value", "units"])
    assert len(merged) == len(whole)
    delivered = digests(tmp_path / "late")
    assert {path for path in digest if digest[path] != delivered[path]} == {
        archive_layout.file_path(location_id, day) for location_id, day in changed
    }
    assert deliver_late(tmp_path / "late", truth) == []
    assert digests(tmp_path / "late") == delivered


@pytest.mark.parametrize("day", [date(2026, 3, 8), date(2026, 11, 1)])
def test_offsets_change_with_the_clocks(tmp_path: Path, day: date) -> None:
    truth = generate(tmp_path, locations=DEMO_LOCATIONS[1:2], first_day=day, last_day=day, seed=1, kinds=())
    (path,) = truth.files
    found = parse_at(tmp_path, path)
    one_sensor = found.rows[found.rows["parameter"] == "pm25"]
    assert found.rejects == ()
    assert len(one_sensor) == (23 if day.month == 3 else 25)
    assert one_sensor["datetime_utc"].is_unique
    assert found.offsets == (timedelta(hours=-5), timedelta(hours=-4))


def test_names_and_ids_cannot_pass_for_real_ones() -> None:
    for place in DEMO_LOCATIONS:
        assert place.name.startswith("Synthetic ")
        assert place.id > 90_000_000
        assert all(sensor.id > 900_000_000 for sensor in place.sensors)
    assert len({sensor.id for place in DEMO_LOCATIONS for sensor in place.sensors}) == 49


def test_a_memory_url_is_written_like_a_folder(tmp_path: Path) -> None:
    arguments = {"locations": DEMO_LOCATIONS[:1], "first_day": FIRST, "last_day": FIRST, "seed": 1}
    generate(tmp_path, **arguments)
    generate("memory://generated", **arguments)
    written = fsspec.filesystem("memory").cat(f"/generated/{archive_layout.file_path(90_000_001, FIRST)}")
    assert written == (tmp_path / archive_layout.file_path(90_000_001, FIRST)).read_bytes()


def test_a_range_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="before the first"):
        generate(tmp_path, locations=DEMO_LOCATIONS, first_day=LAST, last_day=FIRST, seed=1)


def test_the_sidecar_declares_the_sites(archive: Archive) -> None:
    root, _ = archive
    declared: tuple[Location, ...] = SIDECAR.validate_json((root / archive_layout.SIDECAR).read_bytes())
    assert [place.timezone for place in declared] == [place.timezone for place in DEMO_LOCATIONS]
    assert [sensor.units for sensor in declared[0].sensors] == [sensor.units for sensor in DEMO_LOCATIONS[0].sensors]
